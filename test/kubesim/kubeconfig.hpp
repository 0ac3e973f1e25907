// The kubeconfig a test's clients use.
#pragma once

#include "certificates.hpp"

#include <string>

namespace kubesim {

std::string kubeconfig(const std::string &url, const Certificates &certificates, const std::string &token,
                       const std::string &read_only_token);

} // namespace kubesim
