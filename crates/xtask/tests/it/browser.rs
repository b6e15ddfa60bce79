//! What a person sees: landing → consent → installed → chat → streamed answer, in a real browser.

use crate::chromium::Chromium;
use crate::test_app::{PATIENCE, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_installs_the_bot_and_reads_a_streamed_answer() {
    let app = TestApp::start().await;
    app.simulator.set_model_behaviour("ttft=300&gap=60");
    let browser = Chromium::start().await;
    browser.client.goto(&app.web.url()).await.expect("the landing page");
    browser.picture("landing").await;
    browser.click("add-to-slack").await;
    browser.find("allow").await;
    browser.picture("consent").await;
    browser.click("allow").await;
    browser.find("installed").await;
    browser.picture("installed").await;
    browser.click("open-slack").await;

    browser.click("dm-bot").await;
    browser.write("composer", "How do I write a good announcement?").await;
    browser.click("send").await;
    let streaming = "[data-testid=thread] [data-testid=message][data-author=bot][data-streaming=true]";
    let first = browser.find_css(streaming).await.text().await.expect("text");
    browser.picture("streaming").await;
    browser.find_css(&streaming.replace("true", "false")).await;
    app.idle().await;
    let whole = browser.find_css(&streaming.replace("true", "false")).await.text().await.expect("text");
    assert!(whole.len() > first.len(), "it grew: {first:?} … {whole:?}");
    browser.picture("answered").await;

    browser.write("thread-composer", "say: In the thread, too.").await;
    browser.click("thread-send").await;
    let arrived = browser.client.wait().at_most(PATIENCE).for_element(fantoccini::Locator::XPath(
        "//*[@data-testid='thread']//*[@data-author='bot'][contains(., 'In the thread, too.')]",
    ));
    arrived.await.expect("a second answer");
    app.idle().await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_cancels_finds_a_way_on() {
    let app = TestApp::start().await;
    let browser = Chromium::start().await;
    browser.client.goto(&format!("{}/slack/install", app.web.url())).await.expect("the consent page");
    browser.click("cancel").await;
    browser.find("problem").await;
    browser.picture("cancelled").await;
    browser.find_css("[data-testid=problem] a.button").await.click().await.expect("a way on");
    browser.find("allow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_judges_an_answer_asks_for_help_and_sees_the_home_tab() {
    let app = TestApp::installed().await;
    let browser = Chromium::start().await;
    browser.client.goto(&app.simulator.base_url()).await.expect("Slack");
    browser.click("dm-bot").await;
    browser.write("composer", "say: Here is your answer.").await;
    browser.click("send").await;
    browser.find_css("[data-testid=thread] .thumb.up").await.click().await.expect("a thumb");
    let judged = async {
        while app.database.ask("select positive from feedback") != "t" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, judged).await.expect("it is kept");
    browser.picture("judged").await;

    browser.write("composer", "/enablebot help").await;
    browser.click("send").await;
    let help = fantoccini::Locator::XPath("//*[contains(., '/enablebot forget me')]");
    browser.client.wait().at_most(PATIENCE).for_element(help).await.expect("the help");
    browser.picture("help").await;

    browser.click("tab-home").await;
    let home = fantoccini::Locator::XPath("//*[@data-testid='home'][contains(., 'Nothing waits for me')]");
    browser.client.wait().at_most(PATIENCE).for_element(home).await.expect("the Home tab");
    browser.picture("home").await;
    app.idle().await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
