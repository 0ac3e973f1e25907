// The options of foreign-data wrapper dbnet_kubernetes: which exist where, what they may hold, which go together, and
// the connection they describe. Runs in backends (option validator, SQL functions) and in the mirror worker (connect).
#pragma once

#include "kubernetes/connection.hpp"
#include "kubernetes/failure.hpp"

#include <map>
#include <string>
#include <string_view>

namespace dbnet::mirror {

enum class OptionPlace { wrapper, server, user_mapping, foreign_table };

// Options by name, as the catalogs hold them.
using Options = std::map<std::string, std::string, std::less<>>;

class OptionError : public kubernetes::Failure {
public:
    enum Kind { unknown_option, invalid_value, invalid_combination, not_permitted, not_available };
    OptionError(Kind kind, const std::string &message, std::string hint = {})
        : Failure(message, std::move(hint)), kind_(kind) {}
    Kind kind() const noexcept { return kind_; }

private:
    Kind kind_;
};

// Throws OptionError when the complete set of options of one place cannot be accepted. `may_read_files`: the role is a
// superuser or a member of pg_read_server_files.
void check_options(OptionPlace place, const Options &options, bool may_read_files);

// The option is there and on.
bool is_true(const Options &options, std::string_view name);

// The connection that a server's and a mapping's options describe; credentials of the mapping replace those of a
// kubeconfig or service account altogether. Reads the kubeconfig file. Throws Failure.
kubernetes::Connection connection_of(const Options &server, const Options *user_mapping);

// true | on | yes | 1 and their opposites, in any case; false for anything else.
bool parse_boolean(std::string_view text, bool &value) noexcept;

// One or more PEM blocks of base64, each with a label that ends with `label` ("CERTIFICATE", "PRIVATE KEY"), nothing
// but white space and comments between them.
bool is_pem(std::string_view text, std::string_view label) noexcept;

} // namespace dbnet::mirror
