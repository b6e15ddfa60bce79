//! A headless Chromium, driven by ChromeDriver, that records its console.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fantoccini::wd::{Capabilities, Locator, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use url::{ParseError, Url};
use xtask::cluster::free_port;
use xtask::service::{Service, ServiceSpec};

const BROWSER_TIMEOUT: Duration = Duration::from_secs(20);

/// Arguments without background traffic, since tests run without a network.
const CHROMIUM_ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// A browser that ends with all its processes, however the test ends.
pub(crate) struct Chromium {
    pub(crate) client: Client,
    driver: Service,
    profile: PathBuf,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Chromium survives a killed ChromeDriver, but stays in its process group.
        let group = i32::try_from(self.driver.pid()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// A page's size and colour scheme.
#[derive(Clone, Copy)]
pub(crate) struct Viewport {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
}

pub(crate) const VIEWPORTS: [Viewport; 4] = [
    Viewport { name: "wide-light", width: 1280, is_dark: false },
    Viewport { name: "wide-dark", width: 1280, is_dark: true },
    Viewport { name: "narrow-light", width: 390, is_dark: false },
    Viewport { name: "narrow-dark", width: 390, is_dark: true },
];

/// A command specific to ChromeDriver.
#[derive(Debug)]
struct ChromeDriverCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for ChromeDriverCommand {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let port = free_port().expect("a port");
        let start = ServiceSpec {
            name: "chromedriver",
            program: Path::new("/usr/bin/chromedriver"),
            arguments: vec![format!("--port={port}")],
            variables: [].into(),
            port,
            log_sink: Arc::new(|_| ()),
        };
        let driver = Service::start(start).expect("it starts");
        let profile = xtask::workspace::target().join(format!("chromium/{port}"));
        let mut arguments = CHROMIUM_ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let wishes = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wishes: Capabilities = serde_json::from_value(wishes).expect("an object");
        let client = connect_webdriver(wishes, &driver).await;
        Self { client, driver, profile }
    }

    /// Returns the element with this test id once it is visible.
    pub(crate) async fn find_test_id(&self, test_id: &str) -> fantoccini::elements::Element {
        self.find_css(&format!("[data-testid={test_id}]")).await
    }

    pub(crate) async fn find_css(&self, css: &str) -> fantoccini::elements::Element {
        let found = self.client.wait().at_most(BROWSER_TIMEOUT).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("no {css}: {error}"))
    }

    pub(crate) async fn click(&self, test_id: &str) {
        self.find_test_id(test_id).await.click().await.unwrap_or_else(|error| panic!("{test_id}: {error}"));
    }

    pub(crate) async fn type_into(&self, test_id: &str, text: &str) {
        self.find_test_id(test_id)
            .await
            .send_keys(text)
            .await
            .unwrap_or_else(|error| panic!("{test_id}: {error}"));
    }

    /// Replaces the text of a field.
    pub(crate) async fn replace_text(&self, test_id: &str, text: &str) {
        let field = self.find_test_id(test_id).await;
        field.clear().await.unwrap_or_else(|error| panic!("{test_id}: {error}"));
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{test_id}: {error}"));
    }

    pub(crate) async fn set_viewport(&self, view: Viewport) {
        let height = if view.width < 700 { 844 } else { 800 };
        let metrics =
            json!({ "width": view.width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if view.is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Saves screenshots of the page in every view as `target/screenshots/<page>-<view>.png`. No view of a
    /// page of `web` may break an accessibility rule.
    pub(crate) async fn take_screenshots(&self, page: &str) {
        let folder = xtask::workspace::target().join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut barriers = Vec::new();
        for view in VIEWPORTS {
            self.set_viewport(view).await;
            let width = self.client.execute("return document.documentElement.scrollWidth", vec![]).await;
            let width = width.expect("a width").as_u64().expect("a number");
            assert!(width <= view.width.into(), "{page} is {width} wide in {}", view.name);
            let found = self.accessibility_violations().await;
            barriers.extend(found.iter().map(|barrier| format!("{}: {barrier}", view.name)));
            let picture = self.client.screenshot().await.expect("a picture");
            std::fs::write(folder.join(format!("{page}-{}.png", view.name)), picture).expect("it is written");
        }
        assert!(barriers.is_empty(), "{page}:\n{}", barriers.join("\n"));
        self.set_viewport(VIEWPORTS[0]).await;
    }

    /// Allows downloads into the returned folder.
    pub(crate) async fn allow_downloads(&self) -> PathBuf {
        let folder = self.profile.join("downloads");
        let allowed = json!({ "behavior": "allow", "downloadPath": folder });
        self.devtools("Browser.setDownloadBehavior", allowed).await;
        folder
    }

    /// Returns the errors in the console.
    pub(crate) async fn console_errors(&self) -> Vec<String> {
        let log = self
            .client
            .issue_cmd(ChromeDriverCommand { path: "se/log", body: json!({ "type": "browser" }) })
            .await;
        let entries = log.expect("the console's log");
        let entries = entries.as_array().expect("entries").iter();
        entries.filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.client
            .issue_cmd(ChromeDriverCommand { path: "goog/cdp/execute", body })
            .await
            .expect("DevTools takes it");
    }
}

/// Connects to ChromeDriver, which takes a moment until it listens.
async fn connect_webdriver(wishes: Capabilities, driver: &Service) -> Client {
    let begun = Instant::now();
    loop {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        match builder.capabilities(wishes.clone()).connect(&driver.url()).await {
            Ok(client) => return client,
            Err(error) => {
                assert!(
                    begun.elapsed() < BROWSER_TIMEOUT,
                    "no session: {error}\n{}",
                    driver.last_log_lines(20)
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
