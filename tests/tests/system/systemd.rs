//! What systemd is told, by the protocol of sd_notify(3), and the unit that ships.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use archipel_tests::site::Site;
use serde_json::json;

/// The other end of `NOTIFY_SOCKET`.
struct Systemd(UnixDatagram);

impl Systemd {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self(socket)
    }

    /// What comes next that is no sign of life.
    fn told(&self) -> String {
        self.next(|text| !text.contains("WATCHDOG=1"))
    }

    fn next(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        let mut bytes = [0; 1024];
        while Instant::now() < until {
            // A time-out is looked at again.
            let Ok(length) = self.0.recv(&mut bytes) else { continue };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if is_wanted(&text) {
                return text;
            }
        }
        panic!("systemd was not told within half a minute");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_start_life_reload_and_stop() {
    let mut site = Site::temporary().unwrap();
    let path = site.folder().join("notify");
    let systemd = Systemd::at(&path);
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let daemon = site.start_with(&[], &variables).await.unwrap();
    assert!(systemd.told().contains("READY=1"));
    for _ in 0..3 {
        systemd.next(|text| text.contains("WATCHDOG=1"));
    }

    site.config["limit"] =
        json!([{"user": {"issuer": "https://x.example.org", "subject": "x"}, "instances": 1}]);
    site.write().unwrap();
    let hang_up = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap();
    assert!(hang_up.success());
    let reloading = systemd.told();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(systemd.told().contains("READY=1"));

    assert!(daemon.stop().await.unwrap().success());
    assert!(systemd.told().contains("STOPPING=1"));
}

#[test]
fn secrets_come_as_credentials_too() {
    let mut site = Site::temporary().unwrap();
    site.config["secrets"] = json!({"cloud": {"credential": "cloud-password"}});
    site.write().unwrap();
    let check = |folder: &Path| {
        let mut program = archipel_tests::cli::program().unwrap();
        program.arg("--config").arg(site.file()).arg("check-config").env("CREDENTIALS_DIRECTORY", folder);
        archipel_tests::cli::run(&mut program).unwrap()
    };
    let missing = check(site.folder()).with_code(1);
    assert!(format!("{missing:?}").contains("LoadCredential=cloud-password"), "{missing:?}");
    let file = site.folder().join("cloud-password");
    std::fs::write(&file, "not so secret\n").unwrap();
    let mode =
        |mode| std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o444);
    check(site.folder()).with_code(1);
    mode(0o440);
    check(site.folder()).with_code(0);
}

#[test]
fn the_unit_is_understood_and_confined() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/packaging/archipel.service");
    let Ok(output) = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=30"])
        .arg(&unit)
        .output()
    else {
        eprintln!("systemd-analyze is not on this machine: the unit was not looked at");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Overall exposure level"), "{text}");
}
