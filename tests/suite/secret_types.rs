//! Types that hold secrets have no way to an output: that they are not `Debug`,
//! not `Display`, not serialised and not read from a text is checked while this
//! file is compiled.

use std::fmt::{Debug, Display};

use edm_agent::adapters::auth::credential::Granted;
use edm_agent::adapters::auth::token_file::TokenFile;
use edm_agent::adapters::blob::{BlobClient, BlobSettings};
use edm_agent::adapters::bundle::{Bundle, Contents, Identities};
use edm_agent::adapters::graph::{GraphService, GraphSettings};
use edm_agent::adapters::http::exchange::Reply;
use edm_agent::adapters::http::secret::SecretJson;
use edm_agent::adapters::http::{HttpSettings, Pool};
use edm_agent::adapters::signature::Signer;
use edm_agent::agent::status::UriView;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::contract::{Session, SessionDraft};
use edm_agent::table::content::{ContentHasher, ContentKey};
use edm_agent::table::salt::Salt;
use edm_agent::upload::uri::UploadUri;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Does not compile if a type has one of the traits: then two implementations
/// offer the name, and nothing tells which is meant.
macro_rules! lacks {
    ($type:ty: $($trait:ident),+) => {$(
        const _: () = {
            trait Told<Which> {
                const YES: () = ();
            }
            struct HasIt;
            impl<Any: ?Sized> Told<()> for Any {}
            impl<Any: ?Sized + $trait> Told<HasIt> for Any {}
            <$type as Told<_>>::YES
        };
    )+};
}

lacks!(Secret: Debug, Display, Serialize, DeserializeOwned);
lacks!(Salt: Debug, Display, Serialize, DeserializeOwned);
lacks!(ContentKey: Debug, Display, Serialize, DeserializeOwned);
lacks!(ContentHasher: Debug, Display, Serialize, DeserializeOwned);
lacks!(UriView: Debug, Display, Serialize, DeserializeOwned);
lacks!(SecretJson: Debug, Display, Serialize, DeserializeOwned);
lacks!(Granted: Debug, Display, Serialize, DeserializeOwned);
lacks!(TokenFile: Debug, Display, Serialize, DeserializeOwned);
lacks!(HttpSettings: Debug, Display, Serialize, DeserializeOwned);
lacks!(GraphSettings: Debug, Display, Serialize, DeserializeOwned);
lacks!(GraphService: Debug, Display, Serialize);
lacks!(BlobSettings: Debug, Display, Serialize, DeserializeOwned);
lacks!(BlobClient: Debug, Display, Serialize);
lacks!(Pool: Debug, Display, Serialize);
lacks!(Identities: Debug, Display, Serialize, DeserializeOwned);
lacks!(Contents<std::io::Empty>: Debug, Display, Serialize, DeserializeOwned);
lacks!(Signer: Debug, Display, Serialize, DeserializeOwned);
lacks!(Reply: Debug, Display, Serialize);
lacks!(SessionDraft: Debug, Display, Serialize, DeserializeOwned);
// What is written of it leaves its secrets out, see ports::contract.
lacks!(Session: Debug, Display);
// These show where they lead or lie, and nothing else.
lacks!(UploadUri: Display, Serialize, DeserializeOwned);
lacks!(Bundle: Display, Serialize, DeserializeOwned);

#[test]
fn an_upload_uri_shows_where_it_leads_and_no_more() {
    let hosts = ["store.example.org".to_owned()];
    let uri = UploadUri::parse("https://store.example.org/c?sr=c&si=policy&sig=canary", &hosts).unwrap();
    assert_eq!(format!("{uri:?}"), "UploadUri(https://store.example.org/c?<redacted>)");
}
