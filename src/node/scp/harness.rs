//! A node to talk to, and a peer that talks: dicom-ul's client and commands that dicom-object encodes.

use super::{Event, Scp};
use crate::config::{NodeConfig, PeerConfig};
use crate::node::testing::intake;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::{
    EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
};
use dicom_ul::ClientAssociationOptions;
use dicom_ul::association::AsyncClientAssociation;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing in these tests takes so long.
pub(in crate::node) const PATIENCE: Duration = Duration::from_secs(20);

/// A text in every test object.
pub(in crate::node) const MARK: &str = "MARK-OF-THE-OBJECT";

/// The application context of DICOM.
pub(in crate::node) const DICOM: &str = "1.2.840.10008.3.1.1.1";

pub(in crate::node) const CT: &str = uids::CT_IMAGE_STORAGE;

/// A node on a port of its own.
pub(in crate::node) struct Node {
    pub(in crate::node) address: SocketAddr,
    pub(in crate::node) events: mpsc::Receiver<Event>,
    pub(in crate::node) stop: watch::Sender<bool>,
    pub(in crate::node) served: JoinHandle<()>,
    dir: TempDir,
}

/// A peer at `host` that may store.
pub(in crate::node) fn peer(ae_title: &str, host: &str) -> PeerConfig {
    PeerConfig {
        name: ae_title.to_lowercase(),
        ae_title: ae_title.into(),
        host: host.into(),
        port: None,
        may_store: true,
        tls: None,
    }
}

/// `HILUM`, which takes instances of `SCANNER` and echoes of `VIEWER`.
pub(in crate::node) fn config() -> NodeConfig {
    let viewer = PeerConfig {
        may_store: false,
        ..peer("VIEWER", "127.0.0.1")
    };
    NodeConfig {
        peers: vec![peer("SCANNER", "127.0.0.1"), viewer],
        ..NodeConfig::default()
    }
}

pub(in crate::node) async fn serve(config: &NodeConfig) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let (told, events) = mpsc::channel(1000);
    let (stop, stopped) = watch::channel(false);
    let scp = Scp::new(config, intake(dir.path()), told).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    Node {
        address: listener.local_addr().unwrap(),
        events,
        stop,
        served: tokio::spawn(scp.serve(listener, stopped)),
        dir,
    }
}

impl Node {
    /// The next event.
    pub(in crate::node) async fn event(&mut self) -> Event {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event comes").expect("the node runs")
    }

    /// Code of the next event that ends or prevents an association.
    pub(in crate::node) async fn ending(&mut self) -> &'static str {
        loop {
            match self.event().await {
                Event::Rejected { code, .. }
                | Event::Unheard { code, .. }
                | Event::Ended { code, .. } => return code,
                _ => {}
            }
        }
    }

    /// Files of objects that hold [`MARK`], finished or not.
    pub(in crate::node) fn kept(&self) -> Vec<PathBuf> {
        let folders = ["incoming", "instances"].map(|name| self.dir.path().join(name));
        let entries = folders.into_iter().flat_map(walkdir::WalkDir::new);
        let files = entries.map(|entry| entry.unwrap().into_path());
        let holds = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes
                .windows(MARK.len())
                .any(|part| part == MARK.as_bytes())
        };
        // The database may repeat a text of an object.
        let is_database = |path: &PathBuf| path.to_string_lossy().contains(".sqlite");
        let files = files.filter(|path| path.is_file() && !is_database(path));
        files.filter(holds).collect()
    }

    /// Whether the node still answers a C-ECHO.
    pub(in crate::node) async fn is_up(&self) -> bool {
        let mut client = self.client("SCANNER", &[uids::VERIFICATION]).await;
        send(&mut client, 1, &command(0x0030, &[]), None).await;
        let status = status(&mut client).await;
        client.release().await.unwrap();
        status == 0
    }

    /// An association with a context for each class, explicit little endian or implicit.
    pub(in crate::node) async fn client(&self, title: &str, classes: &[&str]) -> Client {
        let mut options = options(title);
        for class in classes {
            options = options.with_abstract_syntax((*class).to_owned());
        }
        options
            .establish_async(self.address)
            .await
            .expect("accepted")
    }

    pub(in crate::node) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

pub(in crate::node) type Client = AsyncClientAssociation<TcpStream>;

pub(in crate::node) fn options(title: &str) -> ClientAssociationOptions<'static> {
    ClientAssociationOptions::new()
        .calling_ae_title(title.to_owned())
        .called_ae_title("HILUM")
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
}

fn text(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

fn number(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// A request without a data set, with further elements; encoded by dicom-object.
pub(in crate::node) fn command(field: u16, more: &[(Tag, &str)]) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    object.put(number(tags::COMMAND_FIELD, field));
    object.put(number(tags::MESSAGE_ID, 7));
    object.put(number(tags::COMMAND_DATA_SET_TYPE, 0x0101));
    for (tag, uid) in more {
        object.put(text(*tag, VR::UI, uid));
    }
    with_length(object)
}

/// A request with a data set.
pub(in crate::node) fn request(
    field: u16,
    class: &str,
    instance: &str,
    kind: Option<u16>,
) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    object.put(text(tags::AFFECTED_SOP_CLASS_UID, VR::UI, class));
    object.put(number(tags::COMMAND_FIELD, field));
    object.put(number(tags::MESSAGE_ID, 7));
    object.put(number(tags::COMMAND_DATA_SET_TYPE, 0));
    object.put(text(tags::AFFECTED_SOP_INSTANCE_UID, VR::UI, instance));
    if let Some(kind) = kind {
        object.put(number(tags::EVENT_TYPE_ID, kind));
    }
    with_length(object)
}

fn with_length(object: InMemDicomObject) -> Vec<u8> {
    let object = InMemDicomObject::command_from_element_iter(object);
    let mut bytes = Vec::new();
    let written = object.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased());
    written.unwrap();
    bytes
}

/// A CT image of explicit little endian with so many bytes of pixels.
pub(in crate::node) fn image(instance: &str, pixel_bytes: usize) -> Vec<u8> {
    let object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, CT),
        text(tags::SOP_INSTANCE_UID, VR::UI, instance),
        text(tags::STUDY_DATE, VR::DA, "20240101"),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::STUDY_DESCRIPTION, VR::LO, MARK),
        text(tags::PATIENT_NAME, VR::PN, "Test^Phantom"),
        text(tags::PATIENT_ID, VR::LO, "PHANTOM"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "2.25.1"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.1.2"),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::from(vec![7_u8; pixel_bytes]),
        ),
    ]);
    data_set(&object)
}

/// Explicit little endian.
pub(in crate::node) fn data_set(object: &InMemDicomObject) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = object.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased());
    written.unwrap();
    bytes
}

fn value(context: u8, value_type: PDataValueType, data: &[u8], is_last: bool) -> Pdu {
    Pdu::PData {
        data: vec![PDataValue {
            presentation_context_id: context,
            value_type,
            is_last,
            data: data.to_vec(),
        }],
    }
}

/// Sends a command and, in pieces, a data set; of which the last piece is held back where it is said to be open.
pub(in crate::node) async fn send(
    client: &mut Client,
    context: u8,
    command: &[u8],
    data_set: Option<(&[u8], bool)>,
) {
    let command = value(context, PDataValueType::Command, command, true);
    client.send(&command).await.unwrap();
    let Some((bytes, ends)) = data_set else {
        return;
    };
    let pieces: Vec<_> = bytes.chunks(10_000).collect();
    for (place, piece) in pieces.iter().enumerate() {
        let is_last = ends && place + 1 == pieces.len();
        let piece = value(context, PDataValueType::Data, piece, is_last);
        client.send(&piece).await.unwrap();
    }
}

/// C-STORE of an image.
pub(in crate::node) async fn store(client: &mut Client, instance: &str, pixel_bytes: usize) {
    let request = request(0x0001, CT, instance, None);
    send(
        client,
        1,
        &request,
        Some((&image(instance, pixel_bytes), true)),
    )
    .await;
}

/// Status of the next response.
pub(in crate::node) async fn status(client: &mut Client) -> u16 {
    let Pdu::PData { data } = client.receive().await.unwrap() else {
        panic!("no response");
    };
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let response = InMemDicomObject::read_dataset_with_ts(data[0].data.as_slice(), &syntax);
    response
        .unwrap()
        .element(tags::STATUS)
        .unwrap()
        .to_int()
        .unwrap()
}

/// What a client asks with, as it goes over the network.
pub(in crate::node) fn association_request(options: &ClientAssociationOptions<'static>) -> Vec<u8> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (address, options) = (listener.local_addr().unwrap(), options.clone());
    let asking = std::thread::spawn(move || options.establish(address).map(drop));
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 6];
    std::io::Read::read_exact(&mut stream, &mut bytes).unwrap();
    let length = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    bytes.resize(6 + length as usize, 0);
    std::io::Read::read_exact(&mut stream, &mut bytes[6..]).unwrap();
    drop(stream);
    assert!(asking.join().unwrap().is_err());
    bytes
}
