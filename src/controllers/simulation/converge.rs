//! Any steps in any order: the cluster settles, and then nothing is written.

use super::actors::Fate;
use super::user::{Deed, prepare};
use super::{Simulation, Step};
use proptest::prelude::*;

/// A case has its own store on disk; more of them: PROPTEST_CASES.
const CASES: u32 = 24;
const STEPS_MAX: usize = 80;

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..64_usize, 0..2_usize).prop_map(|(kind, name)| Deed::Create(kind, name)),
        2 => (0..16_usize, 0..4_u8).prop_map(|(index, n)| Deed::Scale(index, n)),
        2 => (0..16_usize, 0..3_u8).prop_map(|(index, n)| Deed::Template(index, n)),
        2 => (0..16_usize, 0..3_usize).prop_map(|(index, n)| Deed::Delete(index, n)),
        1 => (0..16_usize).prop_map(Deed::DeletePod),
        1 => (0..16_usize).prop_map(Deed::Unlabel),
        1 => (0..3_usize, any::<bool>()).prop_map(|(index, on)| Deed::Cordon(index, on)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![4 => Just(Fate::Well), 1 => Just(Fate::Badly)];
    prop_oneof![
        3 => deed().prop_map(Step::User),
        8 => (0..64_usize).prop_map(Step::News),
        8 => Just(Step::Decide),
        6 => Just(Step::Hear),
        1 => (0..4_usize).prop_map(Step::Crash),
        4 => (0..32_usize, fate).prop_map(|(index, fate)| Step::Kubelet(index, fate)),
        3 => (0..32_usize).prop_map(Step::Schedule),
        1 => (0..700_u16).prop_map(Step::Advance),
    ]
}

fn run(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new().await;
        prepare(&simulation.admin).await;
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
    fn any_steps_end_in_a_settled_cluster(steps in prop::collection::vec(step(), 0..STEPS_MAX)) {
        run(&steps);
    }
}

#[test]
fn what_never_had_an_owner_goes() {
    run(&[Step::User(Deed::Create(1, 0)), Step::News(3), Step::Decide]);
}
