//! What an error was caused by, found by its type.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};

/// The first error of this type among the causes.
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an I/O error is made of is not among its causes.
        let inner = error.downcast_ref::<std::io::Error>();
        if let Some(inner) = inner.and_then(std::io::Error::get_ref) {
            next = Some(inner);
            continue;
        }
        next = error.source();
    }
    None
}

/// What is wrong with TLS, and stays so until somebody changes something.
#[derive(Debug)]
pub enum TlsFault<'a> {
    /// The certificate of the other side.
    Untrusted(&'a CertificateError),
    /// The other side speaks something else.
    NoTls(&'a rustls::Error),
    /// The other side ends it, whoever asks so.
    Refused(&'a rustls::Error),
}

/// `None`, too, for what may go well with the next connection: bytes that changed on their way, a proxy that
/// is about to get its certificate.
pub fn tls_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<TlsFault<'a>> {
    use AlertDescription as Alert;
    let error = find::<rustls::Error>(error)?;
    match error {
        rustls::Error::InvalidCertificate(why) => Some(TlsFault::Untrusted(why)),
        rustls::Error::InvalidMessage(_) => Some(TlsFault::NoTls(error)),
        rustls::Error::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateRequired
            | Alert::HandshakeFailure
            | Alert::InsufficientSecurity
            | Alert::ProtocolVersion
            | Alert::UnknownCA
            | Alert::UnrecognisedName,
        ) => Some(TlsFault::Refused(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HTTP clients have it.
    fn wrapped(error: rustls::Error) -> std::io::Error {
        std::io::Error::other(std::io::Error::other(error))
    }

    #[test]
    fn faults_of_tls_are_told_apart_by_what_has_to_be_done() {
        use rustls::{Error, InvalidMessage};
        let error = wrapped(Error::InvalidCertificate(CertificateError::Expired));
        let fault = tls_fault(&error);
        assert!(
            matches!(fault, Some(TlsFault::Untrusted(CertificateError::Expired))),
            "{fault:?}"
        );
        let error = wrapped(Error::InvalidMessage(InvalidMessage::InvalidContentType));
        let fault = tls_fault(&error);
        assert!(matches!(fault, Some(TlsFault::NoTls(_))), "{fault:?}");
        let error = wrapped(Error::AlertReceived(AlertDescription::CertificateRequired));
        let fault = tls_fault(&error);
        assert!(matches!(fault, Some(TlsFault::Refused(_))), "{fault:?}");
        for passing in [
            Error::AlertReceived(AlertDescription::InternalError),
            Error::AlertReceived(AlertDescription::BadRecordMac),
            Error::DecryptError,
        ] {
            assert!(tls_fault(&wrapped(passing)).is_none());
        }
        assert!(tls_fault(&std::io::Error::other("refused")).is_none());
    }
}
