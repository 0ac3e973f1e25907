// What is said to a program that gives credentials, and what it says: ExecCredential of client.authentication.k8s.io.
// Pure; used in whatever process has the connection.
#pragma once

#include "kubernetes/connection.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

struct ExecCredential {
    std::string token;                                  // or
    std::string client_certificate_pem, client_key_pem; // both or none
    std::optional<int64_t> expires_at;                  // microseconds since 1970, UTC
};

// The versions that are spoken: v1 and v1beta1.
bool is_exec_api_version(std::string_view api_version) noexcept;

// Value of KUBERNETES_EXEC_INFO for the connection's program. `ca_pem`: what its ca_file holds, if it has one.
std::string exec_info(const Connection &connection, std::string_view ca_pem);

// Reads the program's output. Throws Failure, whose words repeat none of it.
ExecCredential parse_exec_credential(std::string_view output, std::string_view api_version);

// What may be shown of the program's error output: its last words, on one line of ASCII, without whatever may be a
// secret: values of environment variables named like one, words that are also in its output, and long random ones.
std::string shown_errors(std::string_view errors, std::string_view output, const ExecPlugin &plugin);

} // namespace dbnet::kubernetes
