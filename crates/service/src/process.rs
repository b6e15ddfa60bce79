//! Runs a service as a process: settings, log, runtime, signals, exit code.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::otel_settings::TraceSettings;
use crate::settings::{Environment, SettingsError};
use crate::{log, metrics::Metrics, otel};

/// The settings that a process needs before it starts.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// `LOG_LEVEL`.
    pub log_level: tracing::Level,
    /// `MAX_WORKERS`, the number of runtime threads.
    pub worker_threads: u32,
    /// `OTEL_…`; `None` disables trace export.
    pub traces: Option<TraceSettings>,
}

impl ProcessSettings {
    /// Reads the process's variables. Problems are added to `env`.
    pub fn read(env: &mut Environment) -> Self {
        let log_level = env.optional("LOG_LEVEL", "INFO", |text| {
            text.trim().parse().map_err(|_| "is not one of ERROR, WARN, INFO, DEBUG and TRACE".to_owned())
        });
        Self {
            log_level: log_level.unwrap_or(tracing::Level::INFO),
            worker_threads: env.number("MAX_WORKERS", 4, 1..=1024),
            traces: TraceSettings::read(env),
        }
    }
}

/// Runs a service until it stops. `serve` gets a token that SIGTERM or Ctrl-C cancels; it then drains and
/// returns. Invalid settings are printed to stderr, one line each.
pub fn run<S, F>(
    service: &'static str,
    settings: Result<(ProcessSettings, S), SettingsError>,
    serve: impl FnOnce(S, CancellationToken, Metrics) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (process, settings) = match settings {
        Ok(settings) => settings,
        Err(error) => return exit_with_error(&error.to_string()),
    };
    // With two TLS providers in the dependency tree, rustls panics at the first connection unless one is
    // installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(process.worker_threads as usize)
        .enable_all()
        .build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let tracer = process.traces.as_ref();
        let tracer = tracer.map(|settings| otel::build_provider(service, settings, runtime.handle().clone()));
        let tracer = tracer.transpose()?;
        log::init(service, process.log_level, tracer.as_ref());
        protect_memory();
        let result = runtime.block_on(async {
            let shutdown = CancellationToken::new();
            tokio::spawn(cancel_on_signal(shutdown.clone())?);
            let metrics = Metrics::install(process.worker_threads)?;
            tokio::spawn(metrics.clone().run_upkeep_loop());
            serve(settings, shutdown, metrics).await
        });
        tracer.iter().for_each(otel::shutdown_provider);
        result
    });
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped after an error");
            exit_with_error(&format!("{error:#}"))
        }
    }
}

/// Forbids core dumps and debuggers: both would expose keys and messages in plaintext.
fn protect_memory() {
    if let Err(error) = forbid_core_dumps() {
        tracing::warn!(error = %error, "disabling core dumps failed");
    }
}

/// Disables core dumps of this process and verifies it. Both services call this at start.
///
/// # Errors
/// The system refuses, or core dumps are still enabled.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        if dumpable_behavior()? != DumpableBehavior::NotDumpable {
            return Err(std::io::Error::other("the process is still dumpable"));
        }
    }
    match getrlimit(Resource::Core).current {
        Some(0) => Ok(()),
        _ => Err(std::io::Error::other("the core dump limit is not 0")),
    }
}

fn cancel_on_signal(shutdown: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    })
}

/// Returns the host name and port under which this process is reachable.
pub fn instance_address(port: u16) -> String {
    let name = rustix::system::uname();
    format!("{}:{port}", name.nodename().to_string_lossy())
}

#[expect(clippy::print_stderr, reason = "the log may not be up yet, and a person may be looking")]
pub(crate) fn exit_with_error(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
