//! The picture as one page: styles, script and data are in it, nothing comes from elsewhere.
//!
//! The script draws only the rows that are in sight, so that a long recording opens as fast as a short one.

use super::picture::Picture;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub(crate) fn page(picture: &Picture) -> String {
    // Our shapes have string keys and no maps: this can't fail.
    let data = serde_json::to_string(picture).unwrap_or_default();
    // Each marker is replaced where the template has it, never in what was put in.
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (marker, text) in [("@style@", STYLE), ("@data@", &inert(&data)), ("@script@", SCRIPT)] {
        if let Some((before, after)) = rest.split_once(marker) {
            page.push_str(before);
            page.push_str(text);
            rest = after;
        }
    }
    page.push_str(rest);
    page
}

/// JSON that ends no element and begins none, whatever peers called themselves.
fn inert(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}
