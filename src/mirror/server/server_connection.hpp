// From the name of a foreign server and a role to a connection: server, USAGE, user mapping, credentials that are still
// good for the endpoint. Runs in backends (SQL functions) and in the mirror worker (as the mirror's owner).
#pragma once

#include "kubernetes/connection.hpp"
#include "pg/guard.hpp"

#include <string>
#include <string_view>

namespace dbnet::mirror {

// Inside a transaction with SPI connected, with the rights of a superuser (the worker, or as_extension()). Uses the
// mapping of `role`, else that of PUBLIC, else what the server's kubeconfig or service account says; reads files.
// Throws pg::error: 42704 no such server, 42809 a server of another wrapper, 42501 no USAGE, or a credential program at
// a server of somebody who is no superuser, 55000 an offline server, or a program that dbnet.exec_plugins does not
// list, 28000 credentials that were given for another endpoint, 08001 options that describe no usable connection.
kubernetes::Connection resolve_connection(std::string_view server, Oid role);

// Option offline of the server is on: nobody ever connects to it. False for what is no server.
bool is_offline(std::string_view server);
std::string offline_message(std::string_view server);

} // namespace dbnet::mirror
