// For whom a process works that no client is connected to: sessions of the client API say it for each request. It
// cannot be changed by what the request runs, as application_name can. That process alone; elsewhere it stays empty.
#pragma once

#include "pg/compat.hpp"

namespace dbnet::provenance {

struct RemoteClient {
    char address[64] = "";              // numeric; empty: nobody
    char application[NAMEDATALEN] = ""; // what stands for application_name on record
};
inline RemoteClient remote_client;

} // namespace dbnet::provenance
