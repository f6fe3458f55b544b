//! Seconds on the wall and of all processors, and what they are in the middle of several runs.

use std::{fs, time::Instant};

use ::tests::fixture::Failed;

/// Fields of a process's own time in its `stat`, counted from the one after its name: user, system.
const OWN: usize = 11;
/// The same of the children that it has waited for, and of theirs.
const CHILDREN: usize = 13;

/// What something took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Seconds on the wall.
    pub(crate) wall: f64,
    /// Seconds of all processors, user and system, children's too.
    pub(crate) cpu: f64,
}

/// A clock that runs.
#[derive(Debug)]
pub(crate) struct Spending {
    begun: Instant,
    cpu: f64,
    beside: Option<u32>,
}

impl Spending {
    /// Starts it. Of the process `beside`, which goes on, counts what it and its ended children use meanwhile.
    pub(crate) fn begin(beside: Option<u32>) -> Result<Self, Failed> {
        Ok(Self { cpu: cpu(beside)?, beside, begun: Instant::now() })
    }

    /// What was spent since.
    pub(crate) fn end(&self) -> Result<Spent, Failed> {
        Ok(Spent { wall: self.begun.elapsed().as_secs_f64(), cpu: cpu(self.beside)? - self.cpu })
    }

    /// The same, where the wall's clock has stopped before.
    pub(crate) fn end_after(&self, wall: f64) -> Result<Spent, Failed> {
        Ok(Spent { wall, cpu: cpu(self.beside)? - self.cpu })
    }

    /// Seconds on the wall until now.
    pub(crate) fn wall(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

/// The medians of several runs, of the wall and of the processors each for itself.
pub(crate) fn median(runs: &[Spent]) -> Spent {
    let middle = |of: fn(&Spent) -> f64| {
        let mut sorted: Vec<f64> = runs.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    Spent { wall: middle(|spent| spent.wall), cpu: middle(|spent| spent.cpu) }
}

fn cpu(beside: Option<u32>) -> Result<f64, Failed> {
    let mut hundredths = 0.0;
    for process in ["self".to_owned()].into_iter().chain(beside.map(|id| id.to_string())) {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        let ticks: Vec<f64> = fields.split(' ').map(|field| field.parse().unwrap_or_default()).collect();
        hundredths += [OWN, CHILDREN].iter().flat_map(|at| ticks.iter().skip(*at).take(2)).sum::<f64>();
    }
    Ok(hundredths / 100.0)
}
