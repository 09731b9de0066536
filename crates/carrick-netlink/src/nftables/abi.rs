//! Numbers of the kernel's interface: `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h`.

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of every nf_tables message type.
const SUBSYSTEM: u16 = 10;
/// `NFPROTO_UNSPEC`: objects of every family.
pub const FAMILY_ANY: u8 = 0;

/// `enum nf_tables_msg_types` and the batch frame of nfnetlink.
pub mod message {
    use super::SUBSYSTEM;

    pub const BATCH_BEGIN: u16 = 0x10;
    pub const BATCH_END: u16 = 0x11;
    /// `NFNL_BATCH_GENID`.
    pub const BATCH_GENERATION: u16 = 1;
    /// The subsystem stands in the `res_id` of the batch frame.
    pub const BATCH_RESOURCE: u16 = SUBSYSTEM;

    pub const NEW_TABLE: u16 = SUBSYSTEM << 8;
    pub const GET_TABLE: u16 = (SUBSYSTEM << 8) | 1;
    pub const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
    pub const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
    pub const GET_CHAIN: u16 = (SUBSYSTEM << 8) | 4;
    pub const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
    pub const GET_RULE: u16 = (SUBSYSTEM << 8) | 7;
    pub const DELETE_RULE: u16 = (SUBSYSTEM << 8) | 8;
    pub const NEW_SET: u16 = (SUBSYSTEM << 8) | 9;
    pub const GET_SET: u16 = (SUBSYSTEM << 8) | 10;
    pub const NEW_ELEMENT: u16 = (SUBSYSTEM << 8) | 12;
    pub const GET_ELEMENT: u16 = (SUBSYSTEM << 8) | 13;
    pub const DELETE_ELEMENT: u16 = (SUBSYSTEM << 8) | 14;
    pub const GET_GENERATION: u16 = (SUBSYSTEM << 8) | 16;
}

/// `enum nft_table_attributes`, `nft_gen_attributes`.
pub mod table {
    pub const NAME: u16 = 1;
    pub const FLAGS: u16 = 2;
    pub const GENERATION_ID: u16 = 1;
}

/// `enum nft_chain_attributes`, `nft_hook_attributes`.
pub mod chain {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const TYPE: u16 = 7;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
}

/// `enum nft_rule_attributes`.
pub mod rule {
    pub const TABLE: u16 = 1;
    pub const CHAIN: u16 = 2;
    pub const HANDLE: u16 = 3;
    pub const EXPRESSIONS: u16 = 4;
    pub const USERDATA: u16 = 7;
    /// `NFTNL_UDATA_RULE_COMMENT`, in a type-length-value of one byte each.
    pub const USERDATA_COMMENT: u8 = 0;
}

/// `enum nft_set_attributes`, `nft_set_elem_list_attributes`, `nft_set_elem_attributes`.
pub mod set {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const DATA_TYPE: u16 = 6;
    pub const DATA_LENGTH: u16 = 7;
    pub const ID: u16 = 10;
    pub const USERDATA: u16 = 13;
    pub const FLAG_INTERVAL: u32 = 4;
    pub const FLAG_MAP: u32 = 8;
    /// `NFT_DATA_VERDICT`.
    pub const VERDICT_TYPE: u32 = 0xffff_ff00;

    pub const LIST_TABLE: u16 = 1;
    pub const LIST_SET: u16 = 2;
    pub const LIST_ELEMENTS: u16 = 3;
    pub const ELEMENT_KEY: u16 = 1;
    pub const ELEMENT_DATA: u16 = 2;
    pub const ELEMENT_FLAGS: u16 = 3;
    pub const ELEMENT_INTERVAL_END: u32 = 1;
}

/// `enum nft_list_attributes`, `nft_data_attributes`, `nft_verdict_attributes`, `nft_expr_attributes`.
pub mod data {
    pub const LIST_ELEMENT: u16 = 1;
    pub const VALUE: u16 = 1;
    pub const VERDICT: u16 = 2;
    pub const VERDICT_CODE: u16 = 1;
    pub const VERDICT_CHAIN: u16 = 2;
    pub const EXPRESSION_NAME: u16 = 1;
    pub const EXPRESSION_DATA: u16 = 2;
}

/// `enum nft_*_attributes` of the expressions.
pub mod expression {
    pub mod meta {
        pub const DESTINATION: u16 = 1;
        pub const KEY: u16 = 2;
        pub const SOURCE: u16 = 3;
    }
    pub mod payload {
        pub const DESTINATION: u16 = 1;
        pub const BASE: u16 = 2;
        pub const OFFSET: u16 = 3;
        pub const LENGTH: u16 = 4;
    }
    pub mod bitwise {
        pub const SOURCE: u16 = 1;
        pub const DESTINATION: u16 = 2;
        pub const LENGTH: u16 = 3;
        pub const MASK: u16 = 4;
        pub const XOR: u16 = 5;
        pub const OPERATION: u16 = 6;
    }
    pub mod compare {
        pub const SOURCE: u16 = 1;
        pub const OPERATOR: u16 = 2;
        pub const DATA: u16 = 3;
    }
    pub mod lookup {
        pub const SET: u16 = 1;
        pub const SOURCE: u16 = 2;
        pub const DESTINATION: u16 = 3;
        pub const FLAGS: u16 = 5;
        pub const FLAG_INVERTED: u32 = 1;
    }
    pub mod immediate {
        pub const DESTINATION: u16 = 1;
        pub const DATA: u16 = 2;
        /// `NFT_REG_VERDICT`.
        pub const VERDICT_REGISTER: u32 = 0;
    }
    pub mod conntrack {
        pub const DESTINATION: u16 = 1;
        pub const KEY: u16 = 2;
    }
    pub mod fib {
        pub const DESTINATION: u16 = 1;
        pub const RESULT: u16 = 2;
        pub const FLAGS: u16 = 3;
        pub const RESULT_OUTPUT_INTERFACE: u32 = 1;
        pub const RESULT_ADDRESS_TYPE: u32 = 3;
        pub const FLAG_SOURCE: u32 = 1;
        pub const FLAG_DESTINATION: u32 = 2;
        pub const FLAG_INPUT_INTERFACE: u32 = 8;
        pub const FLAG_PRESENT: u32 = 32;
        /// `saddr . iif oif exists`.
        pub const FLAGS_REVERSE_PATH: u32 = FLAG_SOURCE | FLAG_INPUT_INTERFACE | FLAG_PRESENT;
    }
    pub mod counter {
        pub const PACKETS: u16 = 2;
    }
    pub mod masquerade {
        pub const FLAGS: u16 = 1;
        /// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`, in nftables since Linux 3.18.
        pub const FULLY_RANDOM: u32 = 1 << 4;
    }
    pub mod nat {
        pub const TYPE: u16 = 1;
        pub const FAMILY: u16 = 2;
        pub const ADDRESS: u16 = 3;
        pub const ADDRESS_MAX: u16 = 4;
        pub const PORT: u16 = 5;
        pub const PORT_MAX: u16 = 6;
        pub const FLAGS: u16 = 7;
        /// `NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED`: the kernel's own note of which registers are set.
        pub const DERIVED_FLAGS: u32 = 3;
    }
    pub mod byteorder {
        pub const SOURCE: u16 = 1;
        pub const DESTINATION: u16 = 2;
        pub const OPERATION: u16 = 3;
        pub const LENGTH: u16 = 4;
        pub const SIZE: u16 = 5;
    }
    pub mod exthdr {
        pub const DESTINATION: u16 = 1;
        pub const TYPE: u16 = 2;
        pub const OFFSET: u16 = 3;
        pub const LENGTH: u16 = 4;
        pub const OPERATION: u16 = 6;
        pub const SOURCE: u16 = 7;
        /// `NFT_EXTHDR_OP_TCPOPT`.
        pub const OPERATION_TCP_OPTION: u32 = 1;
    }
    pub mod route {
        pub const DESTINATION: u16 = 1;
        pub const KEY: u16 = 2;
        pub const KEY_TCP_MSS: u32 = 3;
    }
    pub mod extension {
        /// `NFTA_MATCH_NAME`, `NFTA_TARGET_NAME`.
        pub const NAME: u16 = 1;
        /// `NFTA_MATCH_INFO`.
        pub const INFORMATION: u16 = 3;
    }
}
