//! How many pods that a term means are where: kept as pods and nodes come and go, never counted anew.
//!
//! Pods of the same namespace, labels and controller are one class. A counter is one term in use with the pods it means,
//! a holder one term in use with the pods that have it; each knows its classes beforehand. A pod that comes or
//! goes touches the counters of its class and its own holders, whatever else there is. Terms, classes and topologies
//! that nobody uses are forgotten.

use super::slab::Slab;
use super::snapshot::PodInfo;
use super::tally::Tally;
use super::terms::{Labels, Matcher, Term};
use super::topology::{NOWHERE, Topology};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Which pods are counted: those that all matchers mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CounterKey {
    matchers: Vec<Matcher>,
    topology_key: String,
    /// Pods that are being deleted are left out.
    only_living: bool,
}

#[derive(Debug)]
struct Counter {
    key: CounterKey,
    uses: usize,
    tally: Tally,
}

/// What the pods that have a term make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// They must not be near those it means.
    Apart,
    /// They had to be near them.
    Near,
    /// They would rather, or rather not.
    Prefer(i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct HolderKey {
    wish: Wish,
    term: Term,
}

#[derive(Debug)]
struct Holder {
    key: HolderKey,
    uses: usize,
    tally: Tally,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClassKey {
    namespace: String,
    labels: Arc<Labels>,
    owner: Option<String>,
}

#[derive(Debug)]
struct Class {
    key: ClassKey,
    uses: usize,
    /// Pods on each node: all of them, and those that are not being deleted.
    per_node: HashMap<usize, (u32, u32)>,
    /// Counters that count its pods.
    counters: Vec<usize>,
    /// Holders whose terms mean its pods.
    held_by: Vec<usize>,
}

/// What a pod uses here, from when it becomes known until it is gone or done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footing {
    class: usize,
    /// In the order of its rules.
    pub near: Vec<usize>,
    pub apart: Vec<usize>,
    pub preferred: Vec<usize>,
    pub spread: Vec<usize>,
    holders: Vec<usize>,
}

#[derive(Debug, Default)]
pub struct Counts {
    topologies: Slab<Topology>,
    topology_numbers: HashMap<String, usize>,
    counters: Slab<Counter>,
    counter_numbers: HashMap<CounterKey, usize>,
    holders: Slab<Holder>,
    holder_numbers: HashMap<HolderKey, usize>,
    classes: Slab<Class>,
    class_numbers: HashMap<ClassKey, usize>,
    namespaces: BTreeMap<String, Labels>,
    node_labels: Vec<Option<Arc<Labels>>>,
}

fn means(matcher: &Matcher, class: &ClassKey, namespaces: &BTreeMap<String, Labels>) -> bool {
    matcher.matches_namespace(&class.namespace, namespaces.get(&class.namespace))
        && matcher.matches_pod(&class.labels, class.owner.as_ref())
}

impl Counts {
    /// Begins to keep the counts that the pod's rules ask for.
    pub fn acquire(&mut self, pod: &PodInfo) -> Footing {
        let class = self.acquire_class(pod);
        let rules = &pod.rules;
        let all: Vec<Matcher> = rules.near.iter().map(|t| t.matcher.clone()).collect();
        let mut footing = Footing {
            class,
            ..Footing::default()
        };
        for term in &rules.near {
            let number = self.acquire_counter(all.clone(), &term.topology_key, false);
            footing.near.push(number);
            footing.holders.push(self.acquire_holder(Wish::Near, term));
        }
        for term in &rules.apart {
            let only = vec![term.matcher.clone()];
            let number = self.acquire_counter(only, &term.topology_key, false);
            footing.apart.push(number);
            footing.holders.push(self.acquire_holder(Wish::Apart, term));
        }
        for (weight, term) in &rules.preferred {
            let only = vec![term.matcher.clone()];
            let number = self.acquire_counter(only, &term.topology_key, false);
            footing.preferred.push(number);
            let holder = self.acquire_holder(Wish::Prefer(*weight), term);
            footing.holders.push(holder);
        }
        for spread in &rules.spread {
            let only = vec![spread.term.matcher.clone()];
            let number = self.acquire_counter(only, &spread.term.topology_key, true);
            footing.spread.push(number);
        }
        footing
    }

    fn acquire_class(&mut self, pod: &PodInfo) -> usize {
        let key = ClassKey {
            namespace: pod.namespace.clone(),
            labels: Arc::clone(&pod.labels),
            owner: pod.owner.clone(),
        };
        if let Some(known) = self.class_numbers.get(&key)
            && let Some(class) = self.classes.get_mut(*known)
        {
            class.uses += 1;
            return *known;
        }
        let namespaces = &self.namespaces;
        let counting = self.counters.iter().filter(|(_, counter)| {
            let mut matchers = counter.key.matchers.iter();
            matchers.all(|matcher| means(matcher, &key, namespaces))
        });
        let counters = counting.map(|(number, _)| number).collect();
        let holding = self.holders.iter();
        let held_by = holding
            .filter(|(_, holder)| means(&holder.key.term.matcher, &key, namespaces))
            .map(|(number, _)| number)
            .collect();
        let number = self.classes.insert(Class {
            key: key.clone(),
            uses: 1,
            per_node: HashMap::new(),
            counters,
            held_by,
        });
        self.class_numbers.insert(key, number);
        number
    }

    fn acquire_topology(&mut self, key: &str) -> usize {
        if let Some(known) = self.topology_numbers.get(key)
            && let Some(topology) = self.topologies.get_mut(*known)
        {
            topology.uses += 1;
            return *known;
        }
        let mut topology = Topology::new(key);
        for (node, labels) in self.node_labels.iter().enumerate() {
            let value = labels.as_ref().and_then(|l| l.get(key));
            topology.set(node, value.map(String::as_str));
        }
        let number = self.topologies.insert(topology);
        self.topology_numbers.insert(key.to_owned(), number);
        number
    }

    fn release_topology(&mut self, number: usize) {
        let Some(topology) = self.topologies.get_mut(number) else {
            return;
        };
        topology.uses -= 1;
        if topology.uses == 0
            && let Some(topology) = self.topologies.remove(number)
        {
            self.topology_numbers.remove(&topology.key);
        }
    }

    fn acquire_counter(
        &mut self,
        matchers: Vec<Matcher>,
        topology_key: &str,
        only_living: bool,
    ) -> usize {
        let key = CounterKey {
            matchers,
            topology_key: topology_key.to_owned(),
            only_living,
        };
        if let Some(known) = self.counter_numbers.get(&key)
            && let Some(counter) = self.counters.get_mut(*known)
        {
            counter.uses += 1;
            return *known;
        }
        let topology = self.acquire_topology(topology_key);
        let number = self.counters.insert(Counter {
            key: key.clone(),
            uses: 1,
            tally: Tally {
                topology,
                ..Tally::default()
            },
        });
        self.counter_numbers.insert(key, number);
        let classes: Vec<usize> = self.classes.iter().map(|(class, _)| class).collect();
        for class in classes {
            self.join_counter(number, class);
        }
        number
    }

    /// Counts a class where the counter means it.
    fn join_counter(&mut self, number: usize, class: usize) {
        let (Some(counter), Some(class)) =
            (self.counters.get_mut(number), self.classes.get_mut(class))
        else {
            return;
        };
        let mut matchers = counter.key.matchers.iter();
        if !matchers.all(|matcher| means(matcher, &class.key, &self.namespaces)) {
            return;
        }
        class.counters.push(number);
        let topology = self.topologies.get(counter.tally.topology);
        for (node, (all, living)) in &class.per_node {
            let domain = topology.map_or(NOWHERE, |t| t.of(*node));
            let pods = if counter.key.only_living { living } else { all };
            counter.tally.change(*node, domain, i64::from(*pods));
        }
    }

    fn acquire_holder(&mut self, wish: Wish, term: &Term) -> usize {
        let key = HolderKey {
            wish,
            term: term.clone(),
        };
        if let Some(known) = self.holder_numbers.get(&key)
            && let Some(holder) = self.holders.get_mut(*known)
        {
            holder.uses += 1;
            return *known;
        }
        let topology = self.acquire_topology(&term.topology_key);
        let number = self.holders.insert(Holder {
            key: key.clone(),
            uses: 1,
            tally: Tally {
                topology,
                ..Tally::default()
            },
        });
        for (_, class) in self.classes.iter_mut() {
            if means(&term.matcher, &class.key, &self.namespaces) {
                class.held_by.push(number);
            }
        }
        self.holder_numbers.insert(key, number);
        number
    }

    /// Ends what `acquire` began; the pod is nowhere by now.
    pub fn release(&mut self, footing: &Footing) {
        let lists = [
            &footing.near,
            &footing.apart,
            &footing.preferred,
            &footing.spread,
        ];
        for number in lists.into_iter().flatten() {
            self.release_counter(*number);
        }
        for number in &footing.holders {
            self.release_holder(*number);
        }
        let Some(class) = self.classes.get_mut(footing.class) else {
            return;
        };
        class.uses -= 1;
        if class.uses == 0
            && let Some(class) = self.classes.remove(footing.class)
        {
            self.class_numbers.remove(&class.key);
        }
    }

    fn release_counter(&mut self, number: usize) {
        let Some(counter) = self.counters.get_mut(number) else {
            return;
        };
        counter.uses -= 1;
        if counter.uses == 0
            && let Some(counter) = self.counters.remove(number)
        {
            self.counter_numbers.remove(&counter.key);
            self.release_topology(counter.tally.topology);
            for (_, class) in self.classes.iter_mut() {
                class.counters.retain(|c| *c != number);
            }
        }
    }

    fn release_holder(&mut self, number: usize) {
        let Some(holder) = self.holders.get_mut(number) else {
            return;
        };
        holder.uses -= 1;
        if holder.uses == 0
            && let Some(holder) = self.holders.remove(number)
        {
            self.holder_numbers.remove(&holder.key);
            self.release_topology(holder.tally.topology);
            for (_, class) in self.classes.iter_mut() {
                class.held_by.retain(|h| *h != number);
            }
        }
    }

    /// A pod comes to a node.
    pub fn place(&mut self, footing: &Footing, node: usize, living: bool) {
        self.change(footing, node, living, 1);
    }

    /// A pod leaves its node.
    pub fn lift(&mut self, footing: &Footing, node: usize, living: bool) {
        self.change(footing, node, living, -1);
    }

    fn change(&mut self, footing: &Footing, node: usize, living: bool, by: i64) {
        let Some(class) = self.classes.get_mut(footing.class) else {
            return;
        };
        let moved = |count: u32| u32::try_from(i64::from(count) + by).unwrap_or(0);
        let (all, alive) = class.per_node.entry(node).or_default();
        *all = moved(*all);
        if living {
            *alive = moved(*alive);
        }
        if *all == 0 {
            class.per_node.remove(&node);
        }
        for number in &class.counters {
            let Some(counter) = self.counters.get_mut(*number) else {
                continue;
            };
            if living || !counter.key.only_living {
                let topology = self.topologies.get(counter.tally.topology);
                let domain = topology.map_or(NOWHERE, |t| t.of(node));
                counter.tally.change(node, domain, by);
            }
        }
        for number in &footing.holders {
            let Some(holder) = self.holders.get_mut(*number) else {
                continue;
            };
            let topology = self.topologies.get(holder.tally.topology);
            let domain = topology.map_or(NOWHERE, |t| t.of(node));
            holder.tally.change(node, domain, by);
        }
    }

    /// The node's labels; `None`: it is gone.
    pub fn set_node(&mut self, node: usize, labels: Option<Arc<Labels>>) {
        if self.node_labels.len() <= node {
            self.node_labels.resize(node + 1, None);
        }
        for (number, topology) in self.topologies.iter_mut() {
            let value = labels.as_ref().and_then(|l| l.get(&topology.key));
            let (before, now) = topology.set(node, value.map(String::as_str));
            if before == now {
                continue;
            }
            let counters = self.counters.iter_mut().map(|(_, c)| &mut c.tally);
            let holders = self.holders.iter_mut().map(|(_, h)| &mut h.tally);
            for tally in counters.chain(holders) {
                if tally.topology == number {
                    let pods = i64::from(tally.on(node));
                    tally.change_domain(before, -pods);
                    tally.change_domain(now, pods);
                }
            }
        }
        self.node_labels[node] = labels;
    }

    /// The namespace's labels; `None`: it is gone. Says whether anything changed.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) -> bool {
        if self.namespaces.get(name) == labels.as_ref() {
            return false;
        }
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        let classes = self.classes.iter();
        let own: Vec<usize> = classes
            .filter(|(_, class)| class.key.namespace == name)
            .map(|(number, _)| number)
            .collect();
        for class in own {
            self.match_again(class);
        }
        true
    }

    /// Leaves all counters of a class and joins those that mean it now.
    fn match_again(&mut self, number: usize) {
        let Some(class) = self.classes.get_mut(number) else {
            return;
        };
        for left in std::mem::take(&mut class.counters) {
            let Some(counter) = self.counters.get_mut(left) else {
                continue;
            };
            let topology = self.topologies.get(counter.tally.topology);
            for (node, (all, living)) in &class.per_node {
                let domain = topology.map_or(NOWHERE, |t| t.of(*node));
                let pods = if counter.key.only_living { living } else { all };
                counter.tally.change(*node, domain, -i64::from(*pods));
            }
        }
        let holders = self.holders.iter();
        class.held_by = holders
            .filter(|(_, h)| means(&h.key.term.matcher, &class.key, &self.namespaces))
            .map(|(holder, _)| holder)
            .collect();
        let counters: Vec<usize> = self.counters.iter().map(|(counter, _)| counter).collect();
        for counter in counters {
            self.join_counter(counter, number);
        }
    }

    /// Pods that a counter counts.
    pub fn counted(&self, counter: usize) -> Option<(&Tally, &Topology)> {
        let tally = &self.counters.get(counter)?.tally;
        Some((tally, self.topologies.get(tally.topology)?))
    }

    /// Whether a pod of this footing is one that the counter counts.
    pub fn counts_itself(&self, footing: &Footing, counter: usize) -> bool {
        let class = self.classes.get(footing.class);
        class.is_some_and(|class| class.counters.contains(&counter))
    }

    /// Terms of other pods that mean this one, and where those pods are.
    pub fn held_by(&self, footing: &Footing) -> impl Iterator<Item = (Wish, &Tally, &Topology)> {
        let class = self.classes.get(footing.class);
        let numbers = class.into_iter().flat_map(|class| class.held_by.iter());
        numbers.filter_map(|number| {
            let holder = self.holders.get(*number)?;
            let topology = self.topologies.get(holder.tally.topology)?;
            (holder.tally.total > 0).then_some((holder.key.wish, &holder.tally, topology))
        })
    }

    /// Whether `matcher` means the pod, by what is known of its namespace.
    pub fn means(&self, matcher: &Matcher, pod: &PodInfo) -> bool {
        matcher.matches_namespace(&pod.namespace, self.namespaces.get(&pod.namespace))
            && matcher.matches_pod(&pod.labels, pod.owner.as_ref())
    }

    /// Topologies, counters, holders and classes in use.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 4] {
        [
            self.topologies.iter().count(),
            self.counters.iter().count(),
            self.holders.iter().count(),
            self.classes.iter().count(),
        ]
    }
}
