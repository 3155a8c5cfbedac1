//! Compiles `proto/tandem/v1/mesh.proto`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // From the folder of the crate, where cargo runs this: a path that is compiled in would be that of another clone, where a
    // target folder is shared.
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/tandem/v1/mesh.proto");
    let files = protox::compile(["tandem/v1/mesh.proto"], [root])?;
    tonic_prost_build::configure().bytes(".").emit_rerun_if_changed(false).compile_fds(files)?;
    Ok(())
}
