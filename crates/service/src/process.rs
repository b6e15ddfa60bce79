//! A service's life as a process: settings, log, runtime, signals, exit code.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::otel_settings::TraceSettings;
use crate::settings::{Environment, SettingsError};
use crate::{log, metrics::Metrics, otel};

/// What every process needs before it begins.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// `LOG_LEVEL`.
    pub log_level: tracing::Level,
    /// `MAX_WORKERS`: runtime threads.
    pub worker_threads: u32,
    /// `OTEL_…`: where traces go; `None`: nowhere.
    pub traces: Option<TraceSettings>,
}

impl ProcessSettings {
    /// Reads the process's variables; what is wrong is noted in `env`.
    pub fn read(env: &mut Environment) -> Self {
        let log_level = env.optional("LOG_LEVEL", "INFO", |text| {
            text.trim().parse().map_err(|_| "is none of ERROR, WARN, INFO, DEBUG and TRACE".to_owned())
        });
        Self {
            log_level: log_level.unwrap_or(tracing::Level::INFO),
            worker_threads: env.number("MAX_WORKERS", 4, 1..=1024),
            traces: TraceSettings::read(env),
        }
    }
}

/// Runs a service to its end. `serve` gets a token that is cancelled by SIGTERM or Ctrl-C; it then drains and returns.
/// Wrong settings go to stderr, a line each.
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
    // Two TLS providers in one tree panic at the first connection; this names the only one.
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
        let ended = runtime.block_on(async {
            let shutdown = CancellationToken::new();
            tokio::spawn(cancel_on_signal(shutdown.clone())?);
            let metrics = Metrics::install(process.worker_threads)?;
            tokio::spawn(metrics.clone().run_upkeep_loop());
            serve(settings, shutdown, metrics).await
        });
        tracer.iter().for_each(otel::shutdown_provider);
        ended
    });
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped by an error");
            exit_with_error(&format!("{error:#}"))
        }
    }
}

/// A core dump would hold keys and messages in plain, and so would what a debugger of the same user reads.
fn protect_memory() {
    if let Err(error) = forbid_core_dumps() {
        tracing::warn!(error = %error, "core dumps could not be switched off");
    }
}

/// Switches core dumps of this process off, as both services do for themselves, and looks whether they are.
///
/// # Errors
/// The system does not let it, or they are on all the same.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        if dumpable_behavior()? != DumpableBehavior::NotDumpable {
            return Err(std::io::Error::other("the process can be dumped all the same"));
        }
    }
    match getrlimit(Resource::Core).current {
        Some(0) => Ok(()),
        _ => Err(std::io::Error::other("the limit of a core dump is not 0")),
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

/// The machine's name with the port: where this process is reached, as far as it knows.
pub fn instance_address(port: u16) -> String {
    let name = rustix::system::uname();
    format!("{}:{port}", name.nodename().to_string_lossy())
}

#[expect(clippy::print_stderr, reason = "the log may not be up yet, and a person may be looking")]
pub(crate) fn exit_with_error(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
