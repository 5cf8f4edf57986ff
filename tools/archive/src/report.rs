//! What is told during and after an import or an export.

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Names that were taken over or written.
    pub entries: u64,
    /// Bytes of files that were taken over or written, without holes.
    pub bytes: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names that were taken over or written; whiteouts count.
    pub entries: u64,
    /// Bytes of files that were taken over or written, without holes.
    pub bytes: u64,
    /// Devices, pipes and sockets that were left out, where the caller said so.
    pub skipped: u64,
}

/// Counts, and tells.
pub struct Meter<'a> {
    report: Report,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a> Meter<'a> {
    pub fn new(tell: &'a mut dyn FnMut(Progress)) -> Meter<'a> {
        Meter { report: Report::default(), tell }
    }

    pub fn entry(&mut self) {
        self.report.entries += 1;
        self.tell();
    }

    pub fn bytes(&mut self, bytes: usize) {
        self.report.bytes += bytes as u64;
        self.tell();
    }

    pub fn skipped(&mut self) {
        self.report.skipped += 1;
    }

    pub fn report(&self) -> Report {
        self.report
    }

    fn tell(&mut self) {
        (self.tell)(Progress { entries: self.report.entries, bytes: self.report.bytes });
    }
}
