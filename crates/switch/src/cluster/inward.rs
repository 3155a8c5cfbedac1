//! What other nodes send to this one's actors. It opens each parcel and hands it on; a parcel that cannot be read is
//! counted and dropped.

use super::carried::Carried;
use crate::dispatch::Dispatcher;
use crate::registrations::Registrations;
use crate::shell::Shell;
use crate::transport::Sender;
use mesh::{Kind, Parcel, Receiver, Reply};
use routing::cluster::NodeId;
use sip::Flow;
use std::sync::{Arc, OnceLock};

/// Answers questions of other nodes about what is alive here: the composition root knows how to tell it.
pub trait Teller: Send + Sync + 'static {
    /// Answers with the reply when it can. Must not block: it runs where everything else of that node comes in.
    fn tell(&self, question: bytes::Bytes, reply: Reply);
}

/// The receiver of the mesh. It is made before what it leads to, and drops what comes before that.
#[derive(Default)]
pub(crate) struct Inward {
    inside: OnceLock<Inside>,
    teller: OnceLock<Arc<dyn Teller>>,
}

struct Inside {
    shell: Arc<Shell>,
    dispatcher: Arc<Dispatcher>,
    registrations: Registrations,
}

impl Inward {
    /// From now on parcels lead there.
    pub(crate) fn open(&self, shell: Arc<Shell>, dispatcher: Arc<Dispatcher>, registrations: Registrations) {
        // It is opened once, by the node that made it.
        let _ = self.inside.set(Inside { shell, dispatcher, registrations });
    }

    /// Who answers questions about this node.
    pub(crate) fn answer_with(&self, teller: Arc<dyn Teller>) {
        let _ = self.teller.set(teller);
    }
}

impl Receiver for Inward {
    fn receive(&self, from: NodeId, parcel: Parcel, reply: Option<Reply>) {
        let Some(inside) = self.inside.get() else { return };
        let read = match parcel.kind {
            Kind::Sip => inside.sip(&parcel),
            Kind::SipReply => inside.send(&parcel),
            Kind::Trunk => inside.shell.trunks.receive(&inside.shell, from, &parcel.body),
            Kind::Registration => inside.registrations.receive(from, &parcel.body, reply),
            Kind::Query => {
                if let (Some(teller), Some(reply)) = (self.teller.get(), reply) {
                    teller.tell(parcel.body, reply);
                }
                true
            }
            Kind::Checkpoint => inside.shell.protect.receive(&inside.shell, from, &parcel.body, reply),
            Kind::Records => inside.shell.cdr.receive(&inside.shell, from, &parcel.body, reply),
            // Nothing is said to a call of another node but SIP.
            Kind::Call => false,
        };
        if !read {
            metrics::counter!("tandem_parcels_refused_total").increment(1);
        }
    }
}

impl Inside {
    fn sip(&self, parcel: &Parcel) -> bool {
        let Some(carried) = Carried::decode(&parcel.body) else { return false };
        self.dispatcher.carried(carried);
        true
    }

    /// Sends a message by a socket of this node for another one.
    fn send(&self, parcel: &Parcel) -> bool {
        let Some(carried) = Carried::decode(&parcel.body) else { return false };
        self.shell.messages.count_sent(&carried.bytes);
        let flow = Flow { edge: 0, ..carried.flow };
        // The transaction of the other node notices silence by itself.
        let _ = self.shell.transports.send(carried.bytes, &flow, Sender::Nobody);
        true
    }
}
