//! Images from registries and to them, over HTTP.

mod answer;
mod authorize;
mod blob;
mod client;
mod credentials;
mod failure;
mod http;
mod known;
mod options;
mod pull;
mod push;
mod reference;
mod transport;
mod upload;
mod url;

pub use credentials::{Credential, CredentialFiles};
pub use options::{Proxy, RegistryOptions, Security};
pub use pull::{PullOptions, Pulled, pull};
pub use push::{PushOptions, PushStep, Pushed, PushedLayer, Way, push};
pub use reference::RemoteReference;
