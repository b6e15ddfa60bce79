//! The `OTEL_…` variables: the collector, sampling and resource attributes. Names and formats are
//! OpenTelemetry's: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::str::FromStr;

use axum::http::{HeaderName, HeaderValue, Uri};
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::{Environment, parse_http_url};

const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The settings of trace export.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` followed by the path for traces.
    pub(crate) endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, which often hold credentials.
    pub(crate) headers: Vec<(String, SecretString)>,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub(crate) sampler: Sampler,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub(crate) resource: Vec<(String, String)>,
    /// `OTEL_SERVICE_NAME`.
    pub(crate) service_name: Option<String>,
}

impl TraceSettings {
    /// Reads the variables. Returns `None` without an endpoint, and then ignores all others.
    pub(crate) fn read(env: &mut Environment) -> Option<Self> {
        env.text(ENDPOINT_VARIABLE)?;
        let endpoint = env.optional(ENDPOINT_VARIABLE, "http://collector:4318", parse_endpoint);
        let headers = env.optional("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20…", parse_headers);
        let resource =
            env.optional("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production", parse_pairs);
        let ratio = env.optional("OTEL_TRACES_SAMPLER_ARG", "0.1", parse_ratio).unwrap_or(1.0);
        let sampler = env.optional("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", |name| {
            parse_sampler(name.trim(), ratio)
                .ok_or_else(|| format!("is not one of {}", SAMPLER_NAMES.join(", ")))
        });
        Some(Self {
            endpoint: endpoint?,
            headers: headers.unwrap_or_default(),
            sampler: sampler.unwrap_or_else(|| Sampler::ParentBased(Box::new(Sampler::AlwaysOn))),
            resource: resource.unwrap_or_default(),
            service_name: env.text("OTEL_SERVICE_NAME"),
        })
    }
}

/// Appends the path for traces to the endpoint's own path, as the specification requires.
fn parse_endpoint(text: &str) -> Result<String, String> {
    let address = format!("{}/v1/traces", parse_http_url(text)?);
    Uri::from_str(&address).map_err(|error| format!("is not an address ({error})"))?;
    Ok(address)
}

fn parse_headers(text: &str) -> Result<Vec<(String, SecretString)>, String> {
    let headers: Vec<_> =
        parse_pairs(text)?.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect();
    let is_header = |(name, value): &(String, SecretString)| {
        HeaderName::from_str(name).is_ok() && HeaderValue::from_str(value.expose_secret()).is_ok()
    };
    headers
        .iter()
        .all(is_header)
        .then_some(headers)
        .ok_or_else(|| "has a name or value that is not allowed in a header".into())
}

/// Parses `name=value` pairs separated by commas, with percent-encoded values.
fn parse_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
    };
    let pairs = text.split(',').filter(|part| !part.trim().is_empty());
    pairs.map(pair).collect::<Option<_>>().ok_or_else(|| "is not a comma-separated list of name=value".into())
}

const SAMPLER_NAMES: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

fn parse_sampler(name: &str, ratio: f64) -> Option<Sampler> {
    if let Some(root) = name.strip_prefix("parentbased_") {
        return Some(Sampler::ParentBased(Box::new(parse_sampler(root, ratio)?)));
    }
    match name {
        "always_on" => Some(Sampler::AlwaysOn),
        "always_off" => Some(Sampler::AlwaysOff),
        "traceidratio" => Some(Sampler::TraceIdRatioBased(ratio)),
        _ => None,
    }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "is not a number from 0 to 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<TraceSettings>, String) {
        let process = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut env = Environment::from_sources(Default::default(), process).unwrap();
        let settings = TraceSettings::read(&mut env);
        (settings, env.finish(|| Some(())).err().map(|error| error.to_string()).unwrap_or_default())
    }

    #[test]
    fn tracing_is_off_without_endpoint() {
        let (settings, problems) = read(&[("OTEL_TRACES_SAMPLER", "sometimes")]);
        assert!(settings.is_none() && problems.is_empty(), "{problems}");
    }

    #[test]
    fn otel_variables_are_parsed() {
        let (settings, problems) = read(&[
            (ENDPOINT_VARIABLE, "https://collector.example.com/otlp/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20dTpw, x-scope=a=b"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=ops,place=K%C3%B6ln"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        let settings = settings.expect(&problems);
        assert_eq!(settings.endpoint, "https://collector.example.com/otlp/v1/traces");
        let headers = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        assert_eq!(headers.collect::<Vec<_>>(), [("authorization", "Basic dTpw"), ("x-scope", "a=b")]);
        let resource: Vec<_> =
            settings.resource.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(resource, ["team ops", "place Köln"]);
        assert_eq!(format!("{:?}", settings.sampler), "ParentBased(TraceIdRatioBased(0.25))");
        assert!(!format!("{settings:?}").contains("dTpw"));
    }

    #[test]
    fn malformed_otel_variables_hide_values() {
        let (_, problems) = read(&[
            (ENDPOINT_VARIABLE, "collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hush-hush"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ]);
        let names: Vec<_> = problems.lines().filter_map(|line| line.split(' ').next()).collect();
        let expected = [
            ENDPOINT_VARIABLE,
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_TRACES_SAMPLER_ARG",
            "OTEL_TRACES_SAMPLER",
        ];
        assert_eq!(names, expected, "{problems}");
        assert!(!problems.contains("hush"), "{problems}");
    }
}
