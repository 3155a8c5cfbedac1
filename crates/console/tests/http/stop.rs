//! The end of the console.

use crate::house::{House, recorder};
use console::{Listener, Options};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn it_stops_with_a_client_that_never_ends_its_request() {
    let house = House::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options { listen: "127.0.0.1:0".parse().unwrap(), tokens: vec![] };
    let (stop, told) = tokio::sync::oneshot::channel::<()>();
    runtime.block_on(async {
        let listener = Listener::bind(&options).await.unwrap();
        let console = listener.console(house.board.clone(), house.tables.clone(), recorder());
        let address = console.address();
        let task = tokio::spawn(console.serve(async {
            let _ = told.await;
        }));
        let mut client = TcpStream::connect(address).unwrap();
        let request = "POST /api/v1/rollback HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
            content-length: 100\r\nexpect: 100-continue\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 100", "the answer is under way");
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it stops").unwrap();
        let again = Options { listen: address, tokens: vec![] };
        Listener::bind(&again).await.expect("the port is free");
    });
}
