//! Any steps in any order: the cluster settles, and then nothing is written.

use super::actors::Fate;
use super::user::Deed;
use super::{Simulation, Step};
use proptest::prelude::*;

/// A case has its own store on disk; more of them: PROPTEST_CASES.
const CASES: u32 = 24;
/// Objects that are there before anything else happens.
const OBJECTS_MAX: usize = 10;
const STEPS_MAX: usize = 80;

fn create() -> impl Strategy<Value = Deed> {
    // Mostly in the namespace that stays.
    let place = prop_oneof![5 => Just(0_usize), 1 => Just(1)];
    (0..256_usize, 0..2_usize, place)
        .prop_map(|(kind, name, place)| Deed::Create(kind, name, place))
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => create(),
        3 => (0..64_usize, 0..4_u8).prop_map(|(index, n)| Deed::Scale(index, n)),
        3 => (0..64_usize, 0..3_u8).prop_map(|(index, n)| Deed::Template(index, n)),
        2 => (0..64_usize, any::<bool>()).prop_map(|(index, on)| Deed::Hold(index, on)),
        3 => (0..64_usize, 0..3_usize).prop_map(|(index, n)| Deed::Delete(index, n)),
        1 => (0..16_usize).prop_map(Deed::DeletePod),
        1 => (0..16_usize).prop_map(Deed::Evict),
        1 => (0..16_usize).prop_map(Deed::Unlabel),
        1 => (0..3_usize, any::<bool>()).prop_map(|(index, on)| Deed::Cordon(index, on)),
        1 => (0..3_usize).prop_map(Deed::DropNode),
        1 => any::<bool>().prop_map(Deed::Namespace),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![4 => Just(Fate::Well), 1 => Just(Fate::Badly)];
    prop_oneof![
        4 => deed().prop_map(Step::User),
        8 => (0..64_usize).prop_map(Step::News),
        8 => Just(Step::Decide),
        6 => Just(Step::Hear),
        1 => (0..4_usize).prop_map(Step::Crash),
        4 => (0..32_usize, fate).prop_map(|(index, fate)| Step::Kubelet(index, fate)),
        3 => (0..32_usize).prop_map(Step::Schedule),
        1 => Just(Step::Provision),
        1 => (0..700_u16).prop_map(Step::Advance),
        1 => prop_oneof![-10..0_i32, 1..5000_i32].prop_map(Step::Jump),
        1 => (0..3_usize, any::<bool>()).prop_map(|(index, silent)| Step::Silence(index, silent)),
        1 => (0..400_u16).prop_map(Step::Load),
    ]
}

pub fn run(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new().await;
        for step in steps {
            simulation.step(step).await;
        }
        simulation.settle().await;
        simulation.check().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_end_in_a_settled_cluster(
        objects in prop::collection::vec(create().prop_map(Step::User), 0..OBJECTS_MAX),
        steps in prop::collection::vec(step(), 0..STEPS_MAX),
    ) {
        run(&[objects, steps].concat());
    }
}
