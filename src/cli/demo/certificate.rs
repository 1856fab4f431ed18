//! A certificate authority that is forgotten at once, and the one certificate it signed.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// The hosts of `ingress.yaml`.
const HOSTS: [&str; 2] = ["shop.localhost", "api.localhost"];

/// What the demo writes.
#[derive(Debug)]
pub(super) struct Made {
    /// The Secret as a manifest.
    pub(super) secret: String,
    /// The certificate of the authority, PEM.
    pub(super) ca: String,
}

pub(super) fn make() -> Result<Made, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let ca_params = authority()?;
    let ca = ca_params.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let certificate = server()?.signed_by(&key, &Issuer::new(ca_params, ca_key))?;
    Ok(Made { secret: secret(&certificate.pem(), &key.serialize_pem()), ca: ca.pem() })
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = valid_for_a_year(CertificateParams::new([])?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "rutter demo CA");
    Ok(params)
}

fn server() -> Result<CertificateParams, rcgen::Error> {
    let mut params = valid_for_a_year(CertificateParams::new(HOSTS.map(str::to_owned))?);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, "rutter demo");
    Ok(params)
}

fn valid_for_a_year(mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    // clocks differ; browsers refuse certificates that are valid for more than 398 days
    params.not_before = now.saturating_sub(Duration::DAY);
    params.not_after = now.saturating_add(Duration::days(365));
    params
}

fn secret(certificate: &str, key: &str) -> String {
    let block = |text: &str| {
        text.trim_end().lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    format!(
        "# Made at the first start of the demo; delete it and ca.crt for new ones.\n\
         apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop-tls\n  namespace: shop\n\
         type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(certificate),
        block(key),
    )
}
