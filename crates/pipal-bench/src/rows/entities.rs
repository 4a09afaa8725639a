//! The services of a run with their instances and endpoints, and names that follow from numbers.

use crate::distribution::Zipf;
use crate::random::Random;
use crate::rows::text::put_hex;
use crate::skywalking::catalog::Scope;
use crate::skywalking::model::Model;
use crate::skywalking::tier::Sizes;

/// The exponent of the popularity of services.
const POPULARITY: f64 = 1.1;

/// Entities that rows belong to.
#[derive(Debug)]
pub struct Entities {
    model: Model,
    popularity: Zipf,
    instances: Vec<Vec<usize>>,
    endpoints: Vec<Vec<usize>>,
}

impl Entities {
    /// The installation of these sizes.
    pub fn new(sizes: Sizes, seed: u64) -> Self {
        let model = Model::new(sizes, seed);
        let members = |scope| {
            let mut of_service = vec![Vec::new(); sizes.services];
            for (place, entity) in model.entities(scope).iter().enumerate() {
                if let Some(list) = of_service.get_mut(entity.source) {
                    list.push(place);
                }
            }
            of_service
        };
        let (instances, endpoints) = (members(Scope::Instance), members(Scope::Endpoint));
        Entities { popularity: Zipf::new(sizes.services, POPULARITY), instances, endpoints, model }
    }

    /// Number of services.
    pub fn services(&self) -> usize {
        self.model.entities(Scope::Service).len()
    }

    /// A service, popular ones more often.
    pub fn draw(&self, random: &mut Random) -> usize {
        self.popularity.draw(random)
    }

    /// The id of a service.
    pub fn service(&self, service: usize) -> &str {
        self.model.id(Scope::Service, service)
    }

    /// The id of one of a service's instances, chosen by a hash.
    pub fn instance(&self, service: usize, hash: u64) -> &str {
        self.model.id(Scope::Instance, pick(&self.instances, service, hash))
    }

    /// The id of one of a service's endpoints, chosen by a hash.
    pub fn endpoint(&self, service: usize, hash: u64) -> &str {
        self.model.id(Scope::Endpoint, pick(&self.endpoints, service, hash))
    }
}

fn pick(members: &[Vec<usize>], service: usize, hash: u64) -> usize {
    let list = members.get(service).map_or(&[][..], Vec::as_slice);
    list.get(hash as usize % list.len().max(1)).copied().unwrap_or(usize::MAX)
}

/// A name that tells run and number: 32 hexadecimal digits and, behind a point, the number.
pub fn numbered_name(hash: u64, run: u64, number: u64) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(48);
    put_hex(&mut name, hash);
    put_hex(&mut name, run);
    let _ = write!(name, ".{number}");
    name
}

/// The number in such a name; whether hash and run fit is for the reader to compare.
pub fn number_of(name: &str) -> Option<u64> {
    name.rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;

    #[test]
    fn members_belong_to_their_service_and_names_tell_their_number() {
        let entities = Entities::new(Tier::Smoke.sizes(), 1);
        for service in 0..entities.services() {
            for hash in 0..20 {
                assert!(entities.instance(service, hash).starts_with(entities.service(service)));
                assert!(entities.endpoint(service, hash).starts_with(entities.service(service)));
            }
        }
        let name = numbered_name(1, u64::MAX, 1_234_567);
        assert_eq!((number_of(&name), name.len()), (Some(1_234_567), 40));
        assert_eq!(number_of("x"), None);
    }
}
