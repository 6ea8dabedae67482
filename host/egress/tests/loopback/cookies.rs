//! Cookies of a real server come back to it, for the account that they were set for and for nobody else.

use std::sync::Arc;

use archipel_egress::{Channel, CookieJar, EgressLimits, SendOptions};
use tokio::io::AsyncWriteExt as _;

use crate::{Site, fetch, get, read, server, soon};

fn with(jar: &Arc<CookieJar>) -> SendOptions {
    SendOptions { cookies: Some(Arc::clone(jar)), ..soon() }
}

async fn text(channel: &Channel, url: &str, jar: &Arc<CookieJar>) -> String {
    let answer = channel.send(get(url), with(jar)).await.unwrap();
    String::from_utf8(read(answer).await.unwrap().to_vec()).unwrap()
}

/// A server that sets a cookie with every answer, numbered.
async fn setting() -> String {
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let address = server::raw(move |mut stream| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nset-cookie: session=value-{number}; Path=/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    format!("http://{address}")
}

#[tokio::test]
async fn a_cookie_goes_back_to_the_origin_that_set_it_and_not_to_another() {
    let host = setting().await;
    let site = Site::new(EgressLimits::default());
    let channel = site.granted(&host);
    let jar = channel.cookies("account");
    read(channel.send(get(&host), with(&jar)).await.unwrap()).await.unwrap();
    let sent = |url: &str| {
        let (origin, path) = archipel_egress::Origin::of_url(url).unwrap();
        jar.values(&origin, &path, archipel_model::Timestamp::default()).len()
    };
    assert_eq!((sent(&host), sent("http://127.0.0.1:1/")), (1, 0));

    // What arrives is seen at a server that describes requests.
    let (address, _) = server::http().await;
    let describing = format!("http://{address}");
    let other = site.granted(&describing);
    assert!(!text(&other, &describing, &jar).await.contains("cookie"), "set by another origin");
}

#[tokio::test]
async fn accounts_of_one_binding_and_calls_without_a_jar_share_nothing() {
    let (address, _) = server::cookies().await;
    let host = format!("http://{address}");
    let site = Site::new(EgressLimits::default());
    let channel = site.granted(&host);
    let (alice, bob) = (channel.cookies("alice"), channel.cookies("bob"));
    assert_eq!(text(&channel, &host, &alice).await, "none");
    assert_eq!(text(&channel, &host, &alice).await, "visit=1", "it came back");
    assert_eq!(
        text(&channel, &host, &channel.cookies("alice")).await,
        "visit=2",
        "and is kept between calls"
    );
    assert_eq!(text(&channel, &host, &bob).await, "none");
    assert_eq!(fetch(&channel, &host).await.unwrap(), "none");
    let another = site.channel("two", &host, archipel_egress::PrivateAccess::All(true));
    assert_eq!(
        text(&another, &host, &another.cookies("alice")).await,
        "none",
        "another binding's jars are its own"
    );
}
