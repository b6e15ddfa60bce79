//! Runs the simulator on its own, for services started by hand.

use anyhow::Context;
use clap::Parser;
use simulator::{Simulator, SimulatorSettings};

/// A Slack workspace and an OpenAI-compatible model on loopback.
#[derive(Parser)]
struct SimulatorArgs {
    /// The port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 8002)]
    port: u16,
    /// Address that events are delivered to.
    #[arg(long, default_value = "http://127.0.0.1:8001/slack/events")]
    events_url: String,
    /// Address of the app's install page.
    #[arg(long, default_value = "http://127.0.0.1:8000/slack/install")]
    install_url: String,
    /// The app's and its bot's name.
    #[arg(long, default_value = "EnableBot")]
    app_name: String,
    /// The app's client id.
    #[arg(long, env = "SLACK_CLIENT_ID")]
    client_id: Option<String>,
    /// The app's client secret.
    #[arg(long, env = "SLACK_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// One more workspace: T0BETA=Beta.
    #[arg(long, value_name = "ID=NAME")]
    team: Vec<String>,
    /// Signing secret of events.
    #[arg(long, env = "SLACK_SIGNING_SECRET", hide_env_values = true)]
    signing_secret: Option<String>,
}

impl SimulatorArgs {
    fn into_settings(self) -> SimulatorSettings {
        let defaults = SimulatorSettings::default();
        SimulatorSettings {
            port: self.port,
            events_url: self.events_url,
            install_url: self.install_url,
            app_name: self.app_name,
            client_id: self.client_id.unwrap_or(defaults.client_id),
            client_secret: self.client_secret.unwrap_or(defaults.client_secret),
            signing_secret: self.signing_secret.unwrap_or(defaults.signing_secret),
            ..SimulatorSettings::default()
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "where it listens is what this command has to say")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = SimulatorArgs::parse();
    let teams = arguments.team.clone();
    let simulator = Simulator::start(arguments.into_settings()).await?;
    for team in &teams {
        let (id, name) = team.split_once('=').with_context(|| format!("--team {team}: it is ID=NAME"))?;
        simulator.add_team(id, name);
    }
    println!("Slack simulator: {}", simulator.base_url());
    println!("model:           {}", simulator.model_url());
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}
