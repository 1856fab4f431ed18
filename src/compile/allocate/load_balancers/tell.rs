//! Which pool an address is of, and why the Service has it: for `check` and `explain`.
//!
//! Told by what is so now, not by what happened: the same after every compilation.

use std::net::IpAddr;

use super::Allocation;
use super::wish::Wish;
use crate::manifest::Origin;
use crate::snapshot::{GivenAddress, LoadBalancer};

impl<'a> Allocation<'_, 'a> {
    pub(super) fn tell(&self, wish: &Wish<'_, 'a>) -> LoadBalancer {
        let outcome = self.outcomes.get(wish.key());
        let given = outcome.into_iter().flat_map(|it| &it.addresses);
        let missing = outcome.into_iter().flat_map(|it| &it.missing);
        LoadBalancer {
            addresses: given.map(|ip| self.tell_address(wish, *ip)).collect(),
            missing: missing.map(|why| why.as_str().into()).collect(),
        }
    }

    fn tell_address(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> GivenAddress {
        let given = |source: &str, why: &str| GivenAddress {
            ip,
            source: source.into(),
            why: why.into(),
            origin: Origin::default(),
            is_pooled: false,
        };
        if wish.captured.contains(&ip) {
            return given("its status", "others decided on it");
        }
        let Some(pool) = self.pools.of(ip).and_then(|place| self.pools.get(place)) else {
            return given("this node", "there is no pool");
        };
        let mut why = self.reason(wish, ip);
        let others = self.claims.others(ip, wish.service).map(|it| it.key.to_string());
        let mut others: Vec<_> = others.collect();
        others.sort();
        if let (false, Some(terms)) = (others.is_empty(), wish.terms()) {
            why += &format!(", shared by the key {:?} with {}", terms.key, others.join(", "));
        }
        let given = given(&pool.title, &why);
        GivenAddress { origin: pool.origin.clone(), is_pooled: true, ..given }
    }

    fn reason(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> String {
        let name =
            |field: &str| field.strip_prefix("metadata.annotations.").unwrap_or(field).to_owned();
        if wish.request.addresses.contains(&ip) {
            return format!("asked for by {}", name(&wish.request.field));
        }
        if let Some(asked) = &wish.request.pool {
            return format!("the pool is asked for by {}", name(&asked.field));
        }
        "automatic".to_owned()
    }
}
