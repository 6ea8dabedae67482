//! Which site a command talks to: the administrator's socket of the site file, or any site's address with a token.

use archipel_client::Client;

use crate::cli::DoorArgs;
use crate::config::Config;
use crate::output::Failure;

impl DoorArgs {
    /// A client of the site that is meant.
    ///
    /// # Errors
    /// When nothing says which site, or its address or file is wrong.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(Client::at_socket(socket));
        }
        if let Some(url) = &self.url {
            let client = Client::at_url(url, self.ca.as_deref())?;
            return Ok(match &self.token {
                Some(token) => client.with_token(token.as_str()),
                None => client,
            });
        }
        let config = Config::load(&self.config).map_err(|error| {
            Failure::environment(format!(
                "{error}\n(or name a site with --url URL, or its socket with --socket FILE)"
            ))
        })?;
        let socket = config.admin_socket();
        if !socket.exists() {
            return Err(Failure::environment(format!(
                "{}: the site is not running (there is no {}); start it with `archipel serve`",
                config.file.display(),
                socket.display()
            )));
        }
        Ok(Client::at_socket(&socket))
    }
}
