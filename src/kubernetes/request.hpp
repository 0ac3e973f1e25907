// One HTTP exchange with an API server as the rest of the client sees it: what to send, what came back. Plain data.
// Used by the mirror worker and by backends.
#pragma once

#include "kubernetes/impersonation.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace dbnet::kubernetes {

struct Request {
    std::string method = "GET";
    std::string path;         // "/api/v1/nodes": percent-encoded, appended to the connection's api_url
    std::string query;        // "limit=500&watch=true": percent-encoded, without '?'
    std::string content_type; // of the body; empty without a body
    std::string accept = "application/json";
    std::string body;
    // The server is told to give up after this long (?timeout=, by the transport); the client waits 5 s more. In a
    // stream: the timeoutSeconds that its query carries, after which only a dead connection is still silent.
    std::chrono::seconds timeout{30};
    bool idempotent = false; // may be sent a second time when the connection broke before an answer
    bool compressed = false; // accept gzip; worth it for lists only
    // As whom it is made; nullptr: as the connection says.
    std::shared_ptr<const Impersonation> impersonation;
};

struct Response {
    int status = 0; // HTTP status; 0 when no complete answer arrived
    std::string content_type;
    int retry_after = -1;              // seconds the server asked for; -1: it did not ask
    std::vector<std::string> warnings; // texts of Warning: 299 headers, unquoted
    std::string body;
    std::string transport_error; // why there is no answer, in words for the user; empty when there is one
    bool timed_out = false;      // no answer because time ran out (transport_error says so too)
    bool ambiguous = false;      // a changing request was sent but its outcome is not known
    double seconds = 0;          // from send() to the end of the answer, time in the transport's queue included
};

} // namespace dbnet::kubernetes
