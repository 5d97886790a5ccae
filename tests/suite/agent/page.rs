//! The status page.

use std::path::PathBuf;

use edm_agent::agent::control;
use edm_agent::agent::page::page;
use edm_agent::agent::probes::Probes;
use edm_agent::agent::serve::serve;
use edm_agent::agent::status::HeldView;
use edm_agent::ports::clock::Clock;
use tokio::task::JoinSet;

use super::metrics::table;
use super::world::socket::ask;
use super::world::{HOUR, House, MINUTE, SECOND, SIGNATURE};
use crate::support::tokens::Fixed;

#[tokio::test(start_paused = true)]
async fn everything_is_on_the_page_escaped_and_nothing_of_it_is_a_secret_or_from_elsewhere() {
    let house = House::with(|settings| {
        settings.table = vec![table("<script>alert(1)</script>", "R&D \"store\""), table("letters", "Letters")];
    });
    house.board.change("letters", |view| {
        view.trouble =
            Some("the answer was '<b>no</b>' & client_secret=Zx8Q~abcdefghijklmnopqrstuvwxyz012345".to_owned());
        view.last_good = Some(house.clock.now().wall);
    });
    let held = HeldView {
        upload: "held-upload".to_owned(),
        reasons: vec!["2 rows, less than 80 % of the 10 of the last good upload".to_owned()],
        since: house.clock.now().wall,
        release: "edm-agent sessions release held-upload".to_owned(),
    };
    house.board.held("<script>alert(1)</script>", Some(held), None);
    house.pass(HOUR * 30).await;
    house.store.takes(MINUTE);
    let upload = house.send("Letters", 20).await;
    let view = house.until(&upload, HOUR, |view| view.stored_blocks > 0).await;
    house.track("theirs", 3).await;
    house.pass(SECOND * 2).await;

    let overview = house.lookout(Fixed::none("the credential <ended>")).look().await;
    let shown = page(&overview);

    for part in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "R&amp;D &quot;store&quot;",
        "the answer was &#39;&lt;b&gt;no&lt;/b&gt;&#39; &amp; client_secret=",
        "the credential &lt;ended&gt;",
        "not ready",
        "held",
        "held: 2 rows, less than 80 % of the 10",
        "edm-agent sessions release held-upload",
        "1d 06h",
        &upload,
        "of 20",
        "tracked",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let session = view.session.unwrap();
    let bundle = view.bundle.unwrap();
    for part in ["<script", "Zx8Q~", SIGNATURE, "https:", "http:", "src=", &session, bundle.to_str().unwrap()] {
        assert!(!shown.contains(part), "{part:?} is in {shown}");
    }
    assert!(shown.len() < 16 << 10, "{} bytes", shown.len());
    assert_eq!(shown.matches("<table>").count(), shown.matches("</table>").count());
    assert_eq!(shown.matches("<tr>").count(), shown.matches("</tr>").count());
}

#[tokio::test(start_paused = true)]
async fn the_page_is_served_with_leave_for_nothing_but_its_own_style() {
    let house = House::new();
    let socket: PathBuf = house.dir.path().join("page.sock");
    let listener = control::bind(&socket).await.unwrap();
    let probes = Probes::new(house.lookout(Fixed::token("token")));
    let mut serving = JoinSet::new();
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(house.clock);
    serving.spawn(serve(listener, clock, move |request| probes.clone().handle(request)));

    let got = ask(&socket, "GET", "/", "").await;

    assert_eq!(got.status, 200);
    assert!(got.body.starts_with("<!DOCTYPE html>") && got.body.contains("ready"), "{got:?}");
    assert!(got.head.contains("content-type: text/html; charset=utf-8\r\n"), "{}", got.head);
    let policy = "content-security-policy: default-src 'none'; style-src 'unsafe-inline'";
    assert!(got.head.contains(policy) && got.head.contains("cache-control: no-store"), "{}", got.head);
    let metrics = ask(&socket, "GET", "/metrics", "").await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(metrics.head.contains(kind) && metrics.body.ends_with("\n# EOF\n"), "{}", metrics.head);
}
