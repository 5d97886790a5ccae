//! A lookout that sees what a test says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use edm_agent::ports::Task;
use edm_agent::ports::lookout::{Blind, Lookout, News, Point};
use tokio::sync::mpsc;

/// Says what it is told to, and is blind everywhere if it is told to be.
pub(crate) struct FakeLookout {
    blind: bool,
    news: mpsc::UnboundedReceiver<News>,
    points: Arc<Mutex<BTreeSet<Point>>>,
}

/// The other end of a lookout.
pub(crate) struct Scene {
    news: mpsc::UnboundedSender<News>,
    points: Arc<Mutex<BTreeSet<Point>>>,
}

impl FakeLookout {
    pub(crate) fn new(blind: bool) -> (Box<Self>, Scene) {
        let (tell, news) = mpsc::unbounded_channel();
        let points = Arc::<Mutex<BTreeSet<Point>>>::default();
        (Box::new(Self { blind, news, points: points.clone() }), Scene { news: tell, points })
    }
}

impl Scene {
    pub(crate) fn tell(&self, news: News) {
        self.news.send(news).unwrap();
    }

    /// Where changes matter by now.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.points.lock().unwrap().iter().map(|point| point.folder.join(&point.name)).collect()
    }
}

impl Lookout for FakeLookout {
    fn look_at(&mut self, points: &BTreeSet<Point>) -> Vec<Blind> {
        self.points.lock().unwrap().clone_from(points);
        let blind = |point: &Point| Blind { folder: point.folder.clone(), reason: "it is foggy".to_owned() };
        points.iter().filter(|_| self.blind).map(blind).collect()
    }

    fn news(&mut self) -> Task<'_, News> {
        Box::pin(async {
            match self.news.recv().await {
                Some(news) => news,
                None => std::future::pending().await,
            }
        })
    }
}
