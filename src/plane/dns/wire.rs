//! Between the zone's records and hickory's.

use hickory_proto::ProtoError;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::observe::QueryType;
use crate::snapshot::zone::{self, Query, RecordData};

/// A name as text, in its case, without the trailing dot. Bytes that no name of ours has become
/// `?`: a dot inside a label must not look like two labels.
pub(super) fn text(name: &Name) -> String {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let shown = |byte: &u8| if is_ours(*byte) { char::from(*byte) } else { '?' };
        text.extend(label.iter().map(shown));
    }
    text
}

/// What writes records: the question's own name is repeated in the case it was asked in (0x20),
/// and the zone has the serial of its snapshot.
pub(super) struct Writer<'q> {
    pub(super) question: &'q Name,
    pub(super) asked: &'q str,
    pub(super) serial: u32,
}

impl Writer<'_> {
    /// Fails on a name that does not fit on the wire; an `externalName` might be one.
    pub(super) fn records(&self, records: &[zone::Record]) -> Result<Vec<Record>, ProtoError> {
        records.iter().map(|record| self.record(record)).collect()
    }

    pub(super) fn record(&self, record: &zone::Record) -> Result<Record, ProtoError> {
        let name = if record.name.eq_ignore_ascii_case(self.asked) {
            self.question.clone()
        } else {
            name(&record.name)?
        };
        Ok(Record::from_rdata(name, record.ttl, self.data(&record.data)?))
    }

    fn data(&self, data: &RecordData) -> Result<RData, ProtoError> {
        Ok(match data {
            RecordData::A(ip) => RData::A(A(*ip)),
            RecordData::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
            RecordData::Srv { priority, weight, port, target } => {
                RData::SRV(SRV::new(*priority, *weight, *port, name(target)?))
            }
            RecordData::Ptr(target) => RData::PTR(PTR(name(target)?)),
            RecordData::Cname(target) => RData::CNAME(CNAME(name(target)?)),
            RecordData::Txt(text) => RData::TXT(TXT::new(vec![text.to_string()])),
            RecordData::Soa { primary, mailbox, minimum } => {
                let (primary, mailbox) = (name(primary)?, name(mailbox)?);
                RData::SOA(SOA::new(
                    primary,
                    mailbox,
                    self.serial,
                    REFRESH,
                    RETRY,
                    EXPIRE,
                    *minimum,
                ))
            }
            RecordData::Ns(target) => RData::NS(NS(name(target)?)),
            RecordData::Hinfo => RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new())),
        })
    }
}

pub(super) fn name(text: &str) -> Result<Name, ProtoError> {
    Name::from_labels(text.split('.').map(str::as_bytes))
}

/// What was asked for, as metrics tell it.
pub(super) fn query_type(asked: RecordType) -> QueryType {
    let known = TYPES.iter().find(|(record_type, ..)| *record_type == asked);
    known.map_or(QueryType::Other, |(_, query_type, _)| *query_type)
}

/// What was asked for, as the zone tells it.
pub(super) fn query(asked: RecordType) -> Query {
    let known = TYPES.iter().find(|(record_type, ..)| *record_type == asked);
    known.map_or(Query::Other, |(.., query)| *query)
}

/// The code's name as IANA lists it, in upper case. Only codes that we send have one.
pub(super) fn rcode(code: ResponseCode) -> &'static str {
    let known = CODES.iter().find(|(listed, _)| *listed == code);
    known.map_or("OTHER", |(_, name)| name)
}

const TYPES: [(RecordType, QueryType, Query); 10] = [
    (RecordType::A, QueryType::A, Query::A),
    (RecordType::AAAA, QueryType::Aaaa, Query::Aaaa),
    (RecordType::ANY, QueryType::Any, Query::Any),
    (RecordType::CNAME, QueryType::Cname, Query::Cname),
    (RecordType::HTTPS, QueryType::Https, Query::Other),
    (RecordType::NS, QueryType::Ns, Query::Ns),
    (RecordType::PTR, QueryType::Ptr, Query::Ptr),
    (RecordType::SOA, QueryType::Soa, Query::Soa),
    (RecordType::SRV, QueryType::Srv, Query::Srv),
    (RecordType::TXT, QueryType::Txt, Query::Txt),
];

const CODES: [(ResponseCode, &str); 7] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::BADVERS, "BADVERS"),
];

/// Of the SOA, in seconds; as CoreDNS. Nobody transfers the zone, so nobody acts on them.
pub(super) const REFRESH: i32 = 7200;
pub(super) const RETRY: i32 = 1800;
pub(super) const EXPIRE: i32 = 86_400;
