//! Where publishers stand.

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_publishers_place_is_kept_and_moves_in_both_directions() {
    on_every_engine(async |f| {
        let positions = f.store.positions();
        assert_eq!(positions.position("bus").await.unwrap(), None);
        positions.set_position("bus", u64::MAX).await.unwrap();
        positions.set_position("bus2", 0).await.unwrap();
        assert_eq!(positions.position("bus").await.unwrap(), Some(u64::MAX));
        assert_eq!(positions.position("bus2").await.unwrap(), Some(0));
        positions.set_position("bus", 7).await.unwrap();
        assert_eq!(positions.position("bus").await.unwrap(), Some(7));
    })
    .await;
}
