//! Security headers of all responses.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};

/// Scripts, styles and images come from this origin only, and pages cannot be framed.
const CSP_VALUE: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                       form-action 'self'; frame-ancestors 'none'";

/// Browser features that no page uses.
const PERMISSIONS_POLICY_VALUE: &str = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
                           magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()";

/// Returns the headers of every response that does not set its own. Pages may hold private data, so they are
/// not cached.
pub(crate) fn default_headers(is_secure: bool) -> Vec<(HeaderName, HeaderValue)> {
    let all = [
        (CONTENT_SECURITY_POLICY, CSP_VALUE),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY_VALUE),
    ];
    // No includeSubDomains: this service does not decide for other hosts of the domain.
    let by_https = is_secure.then_some((STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
    all.into_iter().chain(by_https).map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}
