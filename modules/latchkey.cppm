// SPDX-License-Identifier: MIT
export module latchkey;

// All that a program needs, in one import. Modules that are not named here are the library's own
// business.

export import latchkey.atproto.client;
export import latchkey.atproto.discovery;
export import latchkey.atproto.identifier;
export import latchkey.atproto.identity;
export import latchkey.atproto.login;
export import latchkey.atproto.pds;
export import latchkey.core;
export import latchkey.dpop;
export import latchkey.http;
export import latchkey.http.cpprest;
export import latchkey.http.curl;
export import latchkey.http.policy;
export import latchkey.loopback.browser;
export import latchkey.loopback.pages;
export import latchkey.loopback.receiver;
export import latchkey.oauth.authorization;
export import latchkey.oauth.client_auth;
export import latchkey.oauth.client_metadata;
export import latchkey.oauth.pkce;
export import latchkey.oauth.revocation;
export import latchkey.oauth.scope;
export import latchkey.oauth.server_metadata;
export import latchkey.oauth.token;
export import latchkey.refresh.authorized;
export import latchkey.refresh.classify;
export import latchkey.refresh.context;
export import latchkey.refresh.keeper;
export import latchkey.refresh.provers;
export import latchkey.refresh.rotation;
export import latchkey.session;
export import latchkey.session.json;
export import latchkey.store;
export import latchkey.store.filesystem;
export import latchkey.store.memory;
export import latchkey.store.record;
export import latchkey.store.sqlite;
export import latchkey.store.vault;
export import latchkey.store.vault.file_vault;
export import latchkey.store.vault.key_keeper;
export import latchkey.store.vault.master_key;
