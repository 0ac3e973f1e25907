// Whether a certificate and a private key belong together: files are replaced one after the other. Pure C++; used in
// whatever process has the connection.
#pragma once

#include <string>

namespace dbnet::kubernetes {

// PEM texts; of a chain the first certificate counts. False also when either cannot be read.
bool is_certificate_pair(const std::string &certificate_pem, const std::string &key_pem);

} // namespace dbnet::kubernetes
