//! The main path in a real browser: landing page, consent, installation, chat, streamed reply.

use crate::chromium::Chromium;
use crate::test_app::{TEST_TIMEOUT, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn install_and_streamed_reply_in_browser() {
    let app = TestApp::start().await;
    app.simulator.set_model_options("ttft=300&gap=60");
    let browser = Chromium::start().await;
    browser.client.goto(&app.web.url()).await.expect("the landing page");
    browser.take_screenshots("landing").await;
    browser.click("add-to-slack").await;
    browser.find_test_id("allow").await;
    browser.take_screenshots("consent").await;
    browser.click("allow").await;
    browser.find_test_id("installed").await;
    browser.take_screenshots("installed").await;
    browser.click("open-slack").await;

    browser.click("dm-bot").await;
    browser.type_into("composer", "How do I write a good announcement?").await;
    browser.click("send").await;
    let streaming = "[data-testid=thread] [data-testid=message][data-author=bot][data-streaming=true]";
    let first = browser.find_css(streaming).await.text().await.expect("text");
    browser.take_screenshots("streaming").await;
    browser.find_css(&streaming.replace("true", "false")).await;
    app.wait_idle().await;
    let whole = browser.find_css(&streaming.replace("true", "false")).await.text().await.expect("text");
    assert!(whole.len() > first.len(), "it grew: {first:?} … {whole:?}");
    browser.take_screenshots("answered").await;

    browser.type_into("thread-composer", "say: In the thread, too.").await;
    browser.click("thread-send").await;
    let arrived = browser.client.wait().at_most(TEST_TIMEOUT).for_element(fantoccini::Locator::XPath(
        "//*[@data-testid='thread']//*[@data-author='bot'][contains(., 'In the thread, too.')]",
    ));
    arrived.await.expect("a second answer");
    app.wait_idle().await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_install_offers_retry() {
    let app = TestApp::start().await;
    let browser = Chromium::start().await;
    browser.client.goto(&format!("{}/slack/install", app.web.url())).await.expect("the consent page");
    browser.click("cancel").await;
    browser.find_test_id("problem").await;
    browser.take_screenshots("cancelled").await;
    browser.find_css("[data-testid=problem] a.button").await.click().await.expect("a way on");
    browser.find_test_id("allow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_help_and_home_tab_in_browser() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.client.goto(&app.simulator.base_url()).await.expect("Slack");
    browser.click("dm-bot").await;
    browser.type_into("composer", "say: Here is your answer.").await;
    browser.click("send").await;
    browser.find_css("[data-testid=thread] .thumb.up").await.click().await.expect("a thumb");
    let judged = async {
        while app.database.query("select positive from feedback") != "t" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, judged).await.expect("it is kept");
    browser.take_screenshots("judged").await;

    browser.type_into("composer", "/enablebot help").await;
    browser.click("send").await;
    let help = fantoccini::Locator::XPath("//*[contains(., '/enablebot forget me')]");
    browser.client.wait().at_most(TEST_TIMEOUT).for_element(help).await.expect("the help");
    browser.take_screenshots("help").await;

    browser.click("tab-home").await;
    let home = fantoccini::Locator::XPath("//*[@data-testid='home'][contains(., 'No messages waiting')]");
    browser.client.wait().at_most(TEST_TIMEOUT).for_element(home).await.expect("the Home tab");
    browser.take_screenshots("home").await;
    app.wait_idle().await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
