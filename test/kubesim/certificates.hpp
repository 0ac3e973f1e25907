// The simulator's own certificate authority: made at start, or read back from a directory so that a restarted
// simulator keeps its identity.
#pragma once

#include <string>

namespace kubesim {

struct KeyPair {
    std::string certificate; // PEM
    std::string key;         // PEM
};

struct Certificates {
    KeyPair authority;
    KeyPair server; // for localhost, 127.0.0.1 and ::1
    KeyPair admin;  // client: CN=kubesim-admin, O=system:masters
};

// With a directory: reads ca.crt, ca.key, server.crt, … from it, or makes and writes them when ca.crt is missing.
Certificates make_certificates(const std::string &directory);

} // namespace kubesim
