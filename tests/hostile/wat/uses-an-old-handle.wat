;; Uses the number of a handle of an earlier call: 1, the first that there ever was.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
  (import "archipel:host/credentials@0.1.0" "[method]local-token.account" (func $account (param i32 i32)))
  (global $calls (mut i32) (i32.const 0))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $account (i32.const 1) (i32.const 512))
    (i32.const 64)))
