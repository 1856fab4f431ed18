//! What a name turned out to be.

use std::fmt;

use serde::Serialize;

/// What a name turned out to be: the row of the specification that decides its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A name in a hosts file.
    HostsName,
    /// An address in a hosts file, backwards.
    HostsAddress,
    /// The name of the zone itself.
    Apex,
    /// `dns-version.<zone>`.
    DnsVersion,
    /// `ns.dns.<zone>`.
    NameServer,
    /// Only names below it have records: `svc.<zone>`, `<namespace>.svc.<zone>`.
    InnerName,
    /// A Service with virtual addresses.
    ServiceAddress,
    /// `_<port>._<protocol>` of a Service.
    ServicePort,
    /// A headless Service.
    HeadlessEndpoints,
    /// One name among the endpoints of a headless Service.
    EndpointHostname,
    /// An ExternalName Service.
    ExternalName,
    /// `<address with dashes>.<namespace>.pod.<zone>`.
    PodName,
    /// An address of a Service or endpoint, backwards.
    Reverse,
    /// An address of this cluster, backwards, that no Service or endpoint has.
    NoSuchAddress,
    /// The namespace does not exist.
    NoSuchNamespace,
    /// The namespace has no such Service.
    NoSuchService,
    /// The Service is headless, and none of its endpoints is ready.
    NoReadyEndpoint,
    /// No ready endpoint has this name, or the Service is not headless.
    NoSuchEndpoint,
    /// No port has this name and protocol.
    NoSuchPort,
    /// An ExternalName Service has no names below it.
    BelowExternalName,
    /// No endpoint of the Service is ready, and such Services are ignored.
    EmptyService,
    /// The label is not an address with dashes.
    NotAnAddress,
    /// Pods have no names by their addresses.
    PodNamesDisabled,
    /// No Pod of the namespace has the address.
    NoSuchPod,
    /// More labels than any name of its kind has.
    TooManyLabels,
    /// Nothing of this kind is in the zone.
    UnknownName,
    /// Not in the zone, nor an address that it knows.
    OutOfZone,
    /// A rule has made of the name what is none.
    NoName,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostsName => "a name of the hosts file",
            Self::HostsAddress => "an address of the hosts file",
            Self::Apex => "the name of the zone itself",
            Self::DnsVersion => "the version of the DNS specification",
            Self::NameServer => "the name server of the zone",
            Self::InnerName => "only names below this one have records",
            Self::ServiceAddress => "a Service with virtual addresses",
            Self::ServicePort => "a named port of a Service",
            Self::HeadlessEndpoints => "a headless Service: its ready endpoints",
            Self::EndpointHostname => "an endpoint of a headless Service",
            Self::ExternalName => "an ExternalName Service: an alias",
            Self::PodName => "a Pod, by its address",
            Self::Reverse => "an address of a Service or endpoint",
            Self::NoSuchAddress => "no Service or endpoint has this address of the cluster",
            Self::NoSuchNamespace => "the namespace does not exist",
            Self::NoSuchService => "the namespace has no such Service",
            Self::NoReadyEndpoint => "a headless Service without a ready endpoint",
            Self::NoSuchEndpoint => "the Service has no ready endpoint of this name",
            Self::NoSuchPort => "the Service has no such named port",
            Self::BelowExternalName => "an ExternalName Service has no names below it",
            Self::EmptyService => "no endpoint of the Service is ready (ignore empty_service)",
            Self::NotAnAddress => "the first label is not an address with dashes",
            Self::PodNamesDisabled => "Pods have no names by their addresses (pods disabled)",
            Self::NoSuchPod => "no Pod of the namespace has this address (pods verified)",
            Self::TooManyLabels => "more labels than any name of this kind has",
            Self::UnknownName => "nothing of this kind is in the zone",
            Self::OutOfZone => "not in the zone, nor an address that it knows",
            Self::NoName => "a rewrite rule has made of it what is no name",
        })
    }
}
