//! A minimal browser that installs the bot as an admin does: links, redirects, cookies and one form.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use url::Url;

use crate::http::{self, HttpResponse};

/// Redirects followed one after the other before giving up.
const MAX_BROWSER_REDIRECTS: usize = 10;

/// A browser with its cookies. It only visits 127.0.0.1, whose ports share their cookies.
#[derive(Debug, Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
}

/// The page that a visit ended on.
#[derive(Debug)]
pub struct BrowserPage {
    /// The page's address.
    pub url: Url,
    /// The response.
    pub response: HttpResponse,
}

/// Installs the bot through `web`'s and Slack's pages, in this workspace or in the first that Slack offers.
pub fn install_bot(web: u16, team: Option<&str>) -> Result<()> {
    let mut browser = Browser::default();
    let mut consent = browser.get(&format!("http://127.0.0.1:{web}/slack/install"))?;
    if let Some(team) = team {
        consent.url.query_pairs_mut().append_pair("team", team);
        consent = browser.get(consent.url.as_str())?;
    }
    let end = browser.submit(&consent, "allow")?;
    if end.response.status != 200 || end.url.port() != Some(web) {
        bail!("the installation ended with {} at {}", end.response.status, end.url);
    }
    Ok(())
}

impl Browser {
    /// Opens an address and follows redirects.
    pub fn get(&mut self, address: &str) -> Result<BrowserPage> {
        self.visit(Url::parse(address)?, "GET", "")
    }

    /// Submits a page's first form with its current values, by the button with this value.
    pub fn submit(&mut self, page: &BrowserPage, button: &str) -> Result<BrowserPage> {
        let form = HtmlForm::parse(&page.response.body, button)
            .with_context(|| format!("no form at {}", page.url))?;
        let fields = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        self.visit(page.url.join(&form.action)?, "POST", &fields)
    }

    fn visit(&mut self, mut url: Url, mut method: &str, mut body: &str) -> Result<BrowserPage> {
        for _ in 0..MAX_BROWSER_REDIRECTS {
            let answer = self.send_request(&url, method, body)?;
            let Some(location) = answer.header("location").filter(|_| answer.status / 100 == 3) else {
                return Ok(BrowserPage { url, response: answer });
            };
            url = url.join(location)?;
            (method, body) = ("GET", "");
        }
        bail!("too many redirects, the last to {url}")
    }

    fn send_request(&mut self, url: &Url, method: &str, body: &str) -> Result<HttpResponse> {
        let port = url.port().with_context(|| format!("{url} leads away from this machine"))?;
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let origin = url.origin().ascii_serialization();
        let mut headers = vec![("Cookie", cookies.as_str())];
        if method == "POST" {
            headers.extend([("Content-Type", "application/x-www-form-urlencoded"), ("Origin", &origin)]);
        }
        let answer = http::send_request(port, method, &url[url::Position::BeforePath..], &headers, body)?;
        for cookie in answer.header_values("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }
}

#[derive(Debug, PartialEq)]
struct HtmlForm {
    action: String,
    fields: Vec<(String, String)>,
}

impl HtmlForm {
    /// Parses the first form that posts: its filled or selected fields, and the button that is pressed.
    fn parse(html: &str, button: &str) -> Option<Self> {
        let start = html.match_indices("<form").map(|(at, _)| at).find(|at| {
            let method = attribute(first_tag(&html[*at..]), "method");
            method.is_some_and(|method| method.eq_ignore_ascii_case("post"))
        })?;
        let form = html[start..].split("</form>").next()?;
        let action = attribute(first_tag(form), "action").unwrap_or_default();
        let fields = form
            .match_indices('<')
            .filter_map(|(at, _)| form_field(first_tag(&form[at..]), button))
            .collect();
        Some(Self { action, fields })
    }
}

/// Returns the field that a tag adds to a form.
fn form_field(tag: &str, button: &str) -> Option<(String, String)> {
    let value = attribute(tag, "value").unwrap_or_default();
    let counts = match attribute(tag, "type").as_deref() {
        Some("radio" | "checkbox") => tag.contains(" checked"),
        _ if tag.starts_with("<button") => value == button,
        _ => tag.starts_with("<input"),
    };
    Some((attribute(tag, "name").filter(|_| counts)?, value))
}

fn first_tag(html: &str) -> &str {
    html.find('>').map_or(html, |end| &html[..end])
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    let plain =
        [("&quot;", "\""), ("&#34;", "\""), ("&#x2F;", "/"), ("&#39;", "'"), ("&#38;", "&"), ("&amp;", "&")];
    Some(plain.iter().fold(value.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_parsed_for_submit() {
        let html = r#"<form action="/search"></form><form method="post" action="/a?b=1&amp;c=2">
            <input type="hidden" name="state" value="x&quot;y"><input type="radio" name="team" value="T1" checked>
            <input type="radio" name="team" value="T2"><button name="decision" value="cancel">Cancel</button>
            <button name="decision" value="allow">Allow</button></form>"#;
        let form = HtmlForm::parse(html, "allow").expect("a form");
        assert_eq!(form.action, "/a?b=1&c=2");
        let fields = [("state", "x\"y"), ("team", "T1"), ("decision", "allow")];
        assert_eq!(form.fields, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
