//! placeholder until merged
use crate::plane::Local;
use std::net::{TcpListener, UdpSocket};
use std::rc::Rc;
/// Limits.
#[derive(Clone, Debug, Default)]
pub struct Limits {}
/// Server.
#[derive(Debug)]
pub struct Server {}
impl Server {
    /// New.
    pub fn new(_local: Rc<Local>, _limits: Limits) -> Rc<Self> {
        Rc::new(Self {})
    }
    /// Runs.
    pub async fn run(self: Rc<Self>, _udp: UdpSocket, _tcp: TcpListener) {
        std::future::pending().await
    }
}
