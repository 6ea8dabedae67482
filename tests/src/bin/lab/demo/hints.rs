//! Lines to type next.

use anyhow::Result;
use archipel_tests::built;
use archipel_tests::daemon::Daemon;
use archipel_tests::site::Site;

pub(super) async fn tell(site: &Site, daemon: &Daemon) -> Result<()> {
    let token = daemon.token("alice", site.password("alice")).await?;
    let (archipel, url) = (built::archipel()?, daemon.url().to_owned());
    let (archipel, file) = (archipel.display(), site.file());
    let file = file.display();
    println!(
        "
The site goes on serving until Ctrl-C. In another terminal, as alice:

  export ARCHIPEL_URL={url}
  export ARCHIPEL_TOKEN={token}
  curl -H \"Authorization: Bearer $ARCHIPEL_TOKEN\" $ARCHIPEL_URL/v1/orders
  {archipel} order create compute --image @debian --vcpu 1 --ram-mib 512 --name mine --wait
  {archipel} order list

as the administrator of the site, through its socket:

  {archipel} --config {file} plugin list
  {archipel} --config {file} doctor

and in a browser: {url}/docs"
    );
    Ok(())
}
