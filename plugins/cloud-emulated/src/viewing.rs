//! Looking at instances: one, those of a tag, a page of all.

use crate::cloud::Cloud;
use crate::instances::{Found, phase, read};
use crate::naming::{Kind, is_ours};
use crate::record::{Body, Phase, Slot};
use crate::world::World;
use archipel_sdk::Result;
use archipel_sdk::cloud::{CloudNetwork, Observed, Page, Tagged};

/// Instances of one page: as many reads as the host makes one call wait for without harm.
const PAGE: u32 = 500;

/// How long a fence is kept. No create lives longer than its call's deadline (60 s).
const VOID_MS: u64 = 3_600_000;

impl<W: World> Cloud<'_, W> {
    /// One instance.
    pub(crate) fn look(&self, kind: Kind, id: &str) -> Result<Observed> {
        if !is_ours(kind, id) {
            return Ok(Observed::Gone);
        }
        let shown = self.show(&self.account.instance(id))?;
        Ok(shown.map_or(Observed::Gone, |tagged| Observed::Present(tagged.instance)))
    }

    /// All that carry the tag, oldest first.
    pub(crate) fn tagged(&self, kind: Kind, tag: &str) -> Result<Vec<Tagged>> {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.page(&self.account.tagged(kind, tag), cursor.as_deref())?;
            found.extend(page.items.into_iter().filter(|tagged| tagged.tag == tag));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        found.sort_by(|a, b| (a.created_at, &a.instance.id).cmp(&(b.created_at, &b.instance.id)));
        Ok(found)
    }

    /// A page of all of one kind.
    pub(crate) fn all(&self, kind: Kind, cursor: Option<&str>) -> Result<Page> {
        self.page(&self.account.instances(kind), cursor)
    }

    /// Networks that a compute can use: those of the cloud, then the account's own.
    pub(crate) fn joinable(&self) -> Result<Vec<CloudNetwork>> {
        let shared = self.config.networks.iter().map(|network| CloudNetwork {
            id: network.id.clone(),
            name: network.name.clone().unwrap_or_else(|| network.id.clone()),
            cidr: Some(network.cidr.clone()),
            shared: true,
        });
        let mut networks: Vec<_> = shared.collect();
        let mut cursor = None;
        loop {
            let page = self.world.keys(&self.account.instances(Kind::Network), cursor.as_deref(), PAGE)?;
            for key in &page.keys {
                let Some(Found { slot: Slot::Instance(record), .. }) = read(self.world, key)? else {
                    continue;
                };
                let is_ready = record.phase(self.world.now_ms()) == Phase::Ready;
                if let (true, Body::Network { cidr, closing: false, .. }) = (is_ready, record.body) {
                    networks.push(CloudNetwork {
                        id: record.id,
                        name: record.name,
                        cidr: Some(cidr),
                        shared: false,
                    });
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(networks),
            }
        }
    }

    fn page(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let page = self.world.keys(prefix, cursor, PAGE)?;
        let mut items = Vec::with_capacity(page.keys.len());
        for key in &page.keys {
            items.extend(self.show(key)?);
        }
        Ok(Page { items, next: page.next })
    }

    /// What stands under `key`, if it shows. What is left of one that is gone is removed on the way.
    fn show(&self, key: &str) -> Result<Option<Tagged>> {
        let record = match read(self.world, key)? {
            None => return Ok(None),
            Some(Found { bytes, slot: Slot::Void { at } }) => {
                if self.world.now_ms().saturating_sub(at) > VOID_MS {
                    self.world.swap(key, Some(&bytes), None).ok();
                }
                return Ok(None);
            }
            Some(Found { bytes, slot: Slot::Instance(record) }) => {
                let phase = phase(self.world, key, &record)?;
                if phase == Phase::Gone {
                    // It is gone whether this succeeds or not.
                    self.tidy(key, &bytes, &record).ok();
                }
                record.show(phase)
            }
        };
        Ok(record)
    }
}
