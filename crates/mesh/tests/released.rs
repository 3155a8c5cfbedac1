//! What was released is never changed: every field, number and type of `proto/tandem/v1` that `released.txt` holds is there.
//!
//! A node of another release speaks them. Something new is added to `released.txt` by hand, at the end of its block.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use std::collections::BTreeSet;

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
const RELEASED: &str = include_str!("../../../proto/tandem/v1/released.txt");

#[test]
fn nothing_that_was_released_has_changed() {
    let files = protox::compile(["tandem/v1/mesh.proto"], [PROTO]).expect("it compiles");
    let now: BTreeSet<String> = files.file.iter().flat_map(lines).collect();
    let released: BTreeSet<String> = RELEASED.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let lost: Vec<_> = released.difference(&now).collect();
    assert!(lost.is_empty(), "these are released and may not change or go; a change is v2:\n{lost:#?}");
    let new: Vec<_> = now.difference(&released).cloned().collect();
    assert!(new.is_empty(), "add these to proto/tandem/v1/released.txt:\n{}", new.join("\n"));
}

fn lines(file: &FileDescriptorProto) -> Vec<String> {
    let mut lines = Vec::new();
    for message in &file.message_type {
        message_lines(message, &mut lines);
    }
    file.enum_type.iter().for_each(|kind| enum_lines(kind, &mut lines));
    for service in &file.service {
        lines.extend(service.method.iter().map(|method| {
            let stream = |streaming: bool| if streaming { "stream " } else { "" };
            format!(
                "{}.{}.{}({}{}) -> {}{}",
                file.package(),
                service.name(),
                method.name(),
                stream(method.client_streaming()),
                method.input_type(),
                stream(method.server_streaming()),
                method.output_type()
            )
        }));
    }
    lines
}

fn message_lines(message: &DescriptorProto, lines: &mut Vec<String>) {
    lines.extend(message.field.iter().map(|field| field_line(message, field)));
    message.enum_type.iter().for_each(|kind| enum_lines(kind, lines));
    message.nested_type.iter().for_each(|nested| message_lines(nested, lines));
}

fn field_line(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    let scalar = !matches!(field.r#type(), Type::Message | Type::Enum);
    let kind = if scalar { format!("{:?}", field.r#type()).to_lowercase() } else { field.type_name().to_owned() };
    let choice = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let choice = choice.map(|choice| format!(" in {}", choice.name())).unwrap_or_default();
    format!("{}.{} = {}: {repeated}{kind}{choice}", message.name(), field.name(), field.number())
}

fn enum_lines(kind: &EnumDescriptorProto, lines: &mut Vec<String>) {
    lines.extend(kind.value.iter().map(|value| format!("{}.{} = {}", kind.name(), value.name(), value.number())));
}
