//! Contents that are for nodes, not for people.

use membership::certificate::verify_device_list;
use mls_rs::CryptoProvider;
use protocol::{AccountId, ConversationId, DeviceId, certificate::SignedDeviceList, peer::Body};

use crate::core::Core;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes what is not for people.
    pub(super) fn take_hidden(
        &mut self,
        id: ConversationId,
        (account, device): (AccountId, DeviceId),
        body: &Body,
        stranger: bool,
    ) {
        match body {
            Body::Devices(devices) => self.take_list(account, devices),
            Body::Read(marks) if self.own().is_some_and(|own| own.account == account) => self.take_marks(id, marks),
            Body::Read(_) => self.report_misbehaviour("somebody else says what was read here"),
            Body::Payment(_) | Body::Request(_) | Body::Closed(_) => self.take_money(id, account, body),
            Body::FileOffer(offer) => self.take_file_offer(id, (account, device), offer, None, stranger),
            Body::FileEnclosed(enclosed) => {
                let bytes = Some(enclosed.bytes());
                self.take_file_offer(id, (account, device), enclosed.offer(), bytes, stranger);
            }
            Body::FileNotice(notice) => self.take_file_notice(id, account, notice),
            Body::Text(_) => {}
        }
    }

    /// A member says which devices its account has.
    fn take_list(&mut self, account: AccountId, devices: &SignedDeviceList) {
        let list = match verify_device_list(devices) {
            Ok(list) if list.account == account => list,
            _ => return self.report_misbehaviour("a member told a device list that does not hold"),
        };
        if let Some(own) = self.own().filter(|own| own.account == account) {
            let known = own.devices.list().map_or(0, |known| known.version);
            if list.version == known && own.devices != *devices {
                self.report_misbehaviour("two lists of this account's devices have one version");
            } else if list.version > known {
                self.take_own_list(devices.clone(), &list);
            }
        } else {
            self.keep_list(account, devices, &list);
        }
    }
}
