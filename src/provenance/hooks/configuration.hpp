// Statements that configure DBNet and touch no table of ours: servers, user mappings and settings. Backends.
#pragma once

#include "pg/compat.hpp"

extern "C" {
#include "nodes/nodes.h"
}

namespace dbnet::provenance {

struct Configuration {
    const char *done = nullptr; // created, altered or dropped; nullptr: the statement configures nothing of ours
    const char *what = nullptr; // server, user mapping or setting
    const char *text = nullptr; // on record instead of the statement's text, which holds credentials
};

// To be asked before the statement runs: afterwards what it names may be gone. May longjmp.
Configuration configuration_of(const Node *statement);

// Whether it is a server of DBNet's; one that is being created is none yet. May longjmp.
bool is_our_server(Oid server);

// Whether the statement's text, and those of what it runs in, may hold a password or a credential.
bool holds_secret(const Node *statement) noexcept;

} // namespace dbnet::provenance
