//! Sessions and revocations.

use std::time::Duration;

use archipel_identity::store::Session;
use archipel_model::{SessionId, Timestamp};

use super::support::*;

fn session(of: &str, parent: Option<SessionId>, ends: i64) -> Session {
    Session {
        id: SessionId::generate(),
        binding: "local".into(),
        sealed_token: vec![1, 2, 3],
        parent,
        user: user(of),
        created_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(ends),
        revoked_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_kept_listed_and_revoked_with_their_children() {
    on_every_engine(async |f| {
        let store = f.store.sessions();
        let root = session("alice", None, 1000);
        let child = session("alice", Some(root.id), 1000);
        let grandchild = session("alice", Some(child.id), 1000);
        let other = session("alice", None, 2000);
        for one in [&root, &child, &grandchild, &other, &session("bob", None, 1000)] {
            store.put(one).await.unwrap();
        }
        assert!(store.put(&root).await.is_err());
        assert_eq!(store.get(root.id).await.unwrap().as_ref(), Some(&root));
        assert_eq!(store.get(SessionId::generate()).await.unwrap(), None);
        let at = Timestamp::from_millis(500);
        let listed = store.of_owner(&owner("alice"), at, 10).await.unwrap();
        assert_eq!(listed, [other.clone(), grandchild.clone(), child.clone(), root.clone()], "newest first");
        assert_eq!(store.of_owner(&owner("alice"), at, 1).await.unwrap(), std::slice::from_ref(&other));
        let mut revoked = store.revoke(root.id, at).await.unwrap();
        revoked.sort();
        assert_eq!(revoked, [root.id, child.id, grandchild.id]);
        assert_eq!(store.get(grandchild.id).await.unwrap().unwrap().revoked_at, Some(at));
        assert_eq!(store.revoke(root.id, at).await.unwrap(), []);
        assert_eq!(store.revoke(SessionId::generate(), at).await.unwrap(), []);
        assert!(
            store.put(&session("alice", Some(child.id), 1000)).await.is_err(),
            "no child of a revoked one"
        );
        assert_eq!(store.of_owner(&owner("alice"), at, 10).await.unwrap(), std::slice::from_ref(&other));
        assert_eq!(store.forget_before(Timestamp::from_millis(1500), 3).await.unwrap(), 3);
        assert_eq!(store.forget_before(Timestamp::from_millis(1500), 9).await.unwrap(), 1);
        assert_eq!(store.get(root.id).await.unwrap(), None);
        assert_eq!(store.get(other.id).await.unwrap(), Some(other));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_token_stays_revoked_until_its_end() {
    on_every_engine(async |f| {
        let store = f.store.sessions();
        assert!(!store.is_token_revoked([1; 32]).await.unwrap());
        let end = Timestamp::from_millis(1000);
        store.revoke_token([1; 32], end).await.unwrap();
        store.revoke_token([1; 32], end.plus(Duration::from_secs(1))).await.unwrap();
        assert!(store.is_token_revoked([1; 32]).await.unwrap());
        store.forget_before(Timestamp::from_millis(1500), 10).await.unwrap();
        assert!(store.is_token_revoked([1; 32]).await.unwrap(), "the later end counts");
        store.forget_before(Timestamp::from_millis(2500), 10).await.unwrap();
        assert!(!store.is_token_revoked([1; 32]).await.unwrap());
    })
    .await;
}
